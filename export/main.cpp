// rotor-export: checkpoints into files that rotor runs.
#include <cstdio>
#include <filesystem>
#include <memory>
#include <utility>

#include "export/convert.h"
#include "rotor/core/error.h"
#include "rotor/formats/gguf_source.h"
#include "rotor/formats/mapped_file.h"
#include "rotor/formats/rotor_file.h"
#include "rotor/tool/interrupt.h"
#include "rotor/tool/main.h"
#include "rotor/tool/options.h"
#include "rotor/tool/progress.h"

namespace {

using rotor::exporting::ExportedTensor;

struct Interrupted {};

constexpr const char* kExamples =
    "  rotor-export runs/quickstart/checkpoint quickstart.rotor   pack a trained model into bit-planes\n"
    "  rotor-export --head q8 runs/quickstart/best small.rotor    embedding and head in 8 bits\n"
    "  rotor-export ggml-model-i2_s.gguf bitnet.rotor             a model of llama.cpp or bitnet.cpp\n"
    "  rotor-export --dry-run runs/fashion-mlp/best best.rotor    say what would be written\n";

/// A model and what its files say of text.
struct Source {
  std::unique_ptr<rotor::ModelSource> model;
  rotor::RotorAttachments attachments;
};

/// A directory that holds a checkpoint, with a hint when the user named the run instead, or a GGUF file.
Source open_source(const std::string& source, const rotor::GgufOptions& options) {
  namespace fs = std::filesystem;
  if (!fs::exists(source)) rotor::fail(source, ": no such file or directory");
  if (!fs::is_directory(source)) {
    if (!rotor::MappedFile(source).text().starts_with("GGUF")) {
      rotor::fail(source,
                  ": expected a checkpoint directory (config.json, model.safetensors) or a GGUF file");
    }
    auto model = std::make_unique<rotor::GgufSource>(source, options);
    auto attachments = rotor::exporting::text_attachments(*model);
    if (model->format().ends_with("I2_S")) {
      std::fprintf(
          stderr,
          "note: I2_S is read in the order of %s; files do not say theirs: if the text is noise, try "
          "--i2s-order %s\n",
          options.i2s_order == rotor::I2sOrder::x86 ? "x86" : "ARM",
          options.i2s_order == rotor::I2sOrder::x86 ? "arm" : "x86");
    }
    return {std::move(model), std::move(attachments)};
  }
  if (!fs::exists(source + "/config.json") && fs::exists(source + "/checkpoint/config.json")) {
    rotor::fail(source, ": this is a run; its checkpoints are ", source, "/checkpoint (last) and ", source,
                "/best");
  }
  auto model = std::make_unique<rotor::Checkpoint>(source, options.ignore_unknown);
  auto attachments = rotor::exporting::text_attachments(*model);
  return {std::move(model), std::move(attachments)};
}

/// A checkpoint is not written over by what is made of it.
void check_destination(const std::string& source, const std::string& destination) {
  namespace fs = std::filesystem;
  const fs::path target = fs::weakly_canonical(fs::path(destination));
  if (target == fs::canonical(source)) rotor::fail(destination, ": is the file that is exported");
  if (target.parent_path() == fs::canonical(source)) {
    rotor::fail(destination, ": lies in the checkpoint that is exported; choose a file outside ", source);
  }
}

void print_tensor(const ExportedTensor& tensor) {
  const std::string shape = rotor::shape_text(tensor.shape);
  const std::string bytes = rotor::tool::bytes_text(static_cast<double>(tensor.bytes));
  if (tensor.ternary) {
    std::fprintf(stderr, "  %-24s %-14s ternary planes %10s   %4.1f %% zeros, scale %.6g\n",
                 tensor.name.c_str(), shape.c_str(), bytes.c_str(), 100 * tensor.counts.sparsity(),
                 static_cast<double>(tensor.scale));
  } else {
    const char* type = tensor.dense == rotor::DenseType::f32   ? "float32"
                       : tensor.dense == rotor::DenseType::f16 ? "float16"
                                                               : "int8 rows";
    std::fprintf(stderr, "  %-24s %-14s %-14s %10s\n", tensor.name.c_str(), shape.c_str(), type,
                 bytes.c_str());
  }
}

int run(int argc, char** argv) {
  cxxopts::Options options("rotor-export",
                           "Converts a checkpoint directory or a GGUF file into a .rotor file.");
  options.add_options()("source", "checkpoint directory, or GGUF file with TQ1_0, TQ2_0 or I2_S",
                        cxxopts::value<std::string>())("destination", "file to write",
                                                       cxxopts::value<std::string>())(
      "head", "what the token embedding and the head are kept as: f32 | f16 | q8",
      cxxopts::value<std::string>()->default_value("q8"))(
      "head-screening",
      "on | off | auto: a low-bit copy of a q8 head, by which decoding reads only the rows that can matter; "
      "auto: if the head is large",
      cxxopts::value<std::string>()->default_value("auto"))(
      "i2s-order", "x86 | arm: where a GGUF file with I2_S was made",
      cxxopts::value<std::string>()->default_value("x86"))(
      "ignore-unknown", "leave out tensors that have no place in the model")(
      "dry-run", "say what would be written, write nothing")("version", "print the version");
  if (argc == 2 && std::string(argv[1]) == "--version") {
    std::printf("%s\n", rotor::tool::version_text().c_str());
    return 0;
  }
  const auto parsed = rotor::tool::parse_options(options, argc, argv, {"source", "destination"}, kExamples);
  if (!parsed) return 0;
  rotor::exporting::ExportOptions export_options;
  try {
    export_options.head = rotor::dense_type_from_name((*parsed)["head"].as<std::string>());
  } catch (const rotor::Error& e) {
    throw rotor::tool::UsageError(rotor::cat("--head: ", e.what()));
  }
  const auto screening = (*parsed)["head-screening"].as<std::string>();
  if (screening != "on" && screening != "off" && screening != "auto") {
    throw rotor::tool::UsageError(
        rotor::cat("--head-screening: expected on | off | auto, found \"", screening, "\""));
  }
  if (screening != "auto") export_options.head_screening = screening == "on";
  rotor::GgufOptions gguf_options;
  gguf_options.ignore_unknown = parsed->count("ignore-unknown") != 0;
  const auto order = (*parsed)["i2s-order"].as<std::string>();
  if (order != "x86" && order != "arm") {
    throw rotor::tool::UsageError(rotor::cat("--i2s-order: expected x86 | arm, found \"", order, "\""));
  }
  if (order == "arm") gguf_options.i2s_order = rotor::I2sOrder::arm;
  const auto source = (*parsed)["source"].as<std::string>();
  const auto destination = (*parsed)["destination"].as<std::string>();
  const Source opened = open_source(source, gguf_options);
  const rotor::ModelConfig& config = opened.model->config();
  check_destination(source, destination);
  const rotor::DenseFormat dense = export_options.dense_format(config);
  if (parsed->count("dry-run") != 0) {
    std::fprintf(stderr, "would write %s:\n", destination.c_str());
    for (const auto& tensor : rotor::rotor_tensors(config, dense)) {
      std::fprintf(stderr, "  %-24s %s %s\n", tensor.name.c_str(), rotor::dtype_name(tensor.dtype),
                   rotor::shape_text(tensor.shape).c_str());
    }
    return 0;
  }
  size_t source_bytes = 0;
  size_t bytes = 0;
  const auto on_tensor = [&](const ExportedTensor& tensor) {
    source_bytes += tensor.source_bytes;
    bytes += tensor.bytes;
    print_tensor(tensor);
    if (rotor::tool::interrupted()) throw Interrupted();
  };
  rotor::exporting::export_rotor(*opened.model, opened.attachments, destination, export_options, on_tensor);
  const rotor::TextMetadata text = rotor::RotorFile(destination).text();
  if (!text.tokenizer.empty()) {
    std::fprintf(stderr, "  tokenizer: %s%s\n", text.tokenizer.c_str(),
                 text.chat_template ? ", with a chat template" : "");
  } else if (config.is_transformer()) {
    std::fprintf(stderr,
                 "  note: no tokenizer in %s (tokenizer.json, tokenizer.model, or a GGUF file's): the model "
                 "takes and gives token ids\n",
                 source.c_str());
  }
  std::fprintf(stderr, "%s: %s of tensors, from %s (1/%.1f)\n", destination.c_str(),
               rotor::tool::bytes_text(static_cast<double>(bytes)).c_str(),
               rotor::tool::bytes_text(static_cast<double>(source_bytes)).c_str(),
               static_cast<double>(source_bytes) / static_cast<double>(bytes));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  rotor::tool::catch_interrupts();
  return rotor::tool::run_guarded("rotor-export", [&] {
    try {
      return run(argc, argv);
    } catch (const Interrupted&) {  // what was half written is gone by now
      return rotor::tool::kInterruptedStatus;
    }
  });
}
