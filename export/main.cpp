// rotor-export: models from one format to another.
#include <cstdio>
#include <filesystem>
#include <map>
#include <utility>

#include "export/convert.h"
#include "export/merge_report.h"
#include "export/merged_source.h"
#include "rotor/core/error.h"
#include "rotor/formats/base_fingerprint.h"
#include "rotor/formats/checkpoint.h"
#include "rotor/formats/rotor_file.h"
#include "rotor/tool/adapter_option.h"
#include "rotor/tool/interrupt.h"
#include "rotor/tool/main.h"
#include "rotor/tool/options.h"
#include "rotor/tool/progress.h"

namespace {

using namespace rotor;
using namespace rotor::exporting;
using tool::UsageError;

struct Interrupted {};

constexpr const char* kExamples =
    "  rotor-export runs/quickstart/checkpoint quickstart.rotor   pack a trained model into bit-planes\n"
    "  rotor-export --head f16 runs/quickstart/best small.rotor   embedding and head in 16 bits\n"
    "  rotor-export ggml-model-i2_s.gguf bitnet.rotor             a model of llama.cpp or bitnet.cpp\n"
    "  rotor-export bitnet.rotor bitnet.gguf --type i2_s          and back\n"
    "  rotor-export bitnet.rotor bitnet-hf --to hf-packed         a directory that transformers loads\n"
    "  rotor-export --ternarize absmean qwen out.rotor            a float model, to see what that costs\n"
    "  rotor-export bitnet.rotor poet.rotor --adapter poetry      a LoRA adapter merged into the weights\n"
    "  rotor-export all-MiniLM-L6-v2 minilm.rotor                 a sentence encoder, for rotor embed\n"
    "  rotor-export --dry-run runs/fashion-mlp/best best.rotor    say what would be written\n";

enum class Target { rotor, gguf, hf, hf_packed };

/// The value of an option that is one of `choices`.
template <class Value>
Value choose(const cxxopts::ParseResult& parsed, const std::string& option,
             const std::map<std::string, Value>& choices) {
  const auto text = parsed[option].as<std::string>();
  const auto found = choices.find(text);
  if (found != choices.end()) return found->second;
  std::string names;
  for (const auto& [name, value] : choices) names += (names.empty() ? "" : " | ") + name;
  throw UsageError(cat("--", option, ": expected ", names, ", found \"", text, "\""));
}

Target target_of(const cxxopts::ParseResult& parsed, const std::string& destination) {
  if (parsed.count("to") != 0) {
    return choose<Target>(parsed, "to",
                          {{"rotor", Target::rotor},
                           {"gguf", Target::gguf},
                           {"hf", Target::hf},
                           {"hf-packed", Target::hf_packed}});
  }
  if (destination.ends_with(".rotor")) return Target::rotor;
  if (destination.ends_with(".gguf")) return Target::gguf;
  throw UsageError(cat("\"", destination,
                       "\" does not say what to write: end it in .rotor or .gguf, or add --to rotor | gguf | "
                       "hf | hf-packed"));
}

/// A model is not written over by what is made of it.
void check_destination(const std::string& source, const std::string& destination) {
  namespace fs = std::filesystem;
  const fs::path target = fs::weakly_canonical(fs::path(destination));
  if (target == fs::canonical(source)) fail(destination, ": is the model that is exported");
  if (target.parent_path() == fs::canonical(source)) {
    fail(destination, ": lies in the checkpoint that is exported; choose a place outside ", source);
  }
}

/// What one export does: to write, and to say what would be written.
struct Export {
  std::function<void(const OnTensor&)> write;
  std::function<std::vector<PlannedTensor>()> plan;
};

std::optional<bool> screening(const cxxopts::ParseResult& parsed) {
  return choose<std::optional<bool>>(parsed, "head-screening",
                                     {{"on", true}, {"off", false}, {"auto", std::nullopt}});
}

/// Options that say nothing about the target would be ignored in silence.
void refuse_options(const cxxopts::ParseResult& parsed, std::initializer_list<const char*> options,
                    const char* target) {
  for (const char* option : options) {
    if (parsed.count(option) != 0) throw UsageError(cat("--", option, " has no meaning for ", target));
  }
}

DenseType dense_type(const cxxopts::ParseResult& parsed, const std::string& option, DenseType by_itself) {
  return choose<DenseType>(
      parsed, option,
      {{"auto", by_itself}, {"f32", DenseType::f32}, {"f16", DenseType::f16}, {"q8", DenseType::q8}});
}

Export rotor_export(const cxxopts::ParseResult& parsed, const OpenedSource& source, const std::string& path) {
  refuse_options(parsed, {"type", "dtype", "round-scales"}, "a .rotor file");
  ExportOptions options;
  if (source.model->config().is_encoder()) {
    refuse_options(parsed, {"head", "head-screening"}, "a sentence encoder, which has no head");
    refuse_options(parsed, {"adapter", "any-base", "i2s-order"}, "a sentence encoder");
  } else {
    refuse_options(parsed, {"layers", "embeddings"}, "a model that is no sentence encoder");
  }
  options.layers = dense_type(parsed, "layers", options.layers);
  options.embeddings = dense_type(parsed, "embeddings", options.embeddings);
  options.head = dense_type(parsed, "head", options.head);
  options.head_screening = screening(parsed);
  return {[&source, path, options](const OnTensor& on_tensor) {
            export_rotor(*source.model, source.text, path, options, on_tensor);
          },
          [&source, options] { return plan_rotor(*source.model, options); }};
}

Export hf_export(const cxxopts::ParseResult& parsed, const OpenedSource& source, const std::string& path,
                 bool packed) {
  refuse_options(parsed, {"type", "head", "head-screening", "layers", "embeddings", "round-scales"},
                 "a Hugging Face directory");
  HfOptions options;
  options.packed = packed;
  options.dtype = choose<std::optional<DType>>(
      parsed, "dtype",
      {{"auto", std::nullopt}, {"f32", DType::f32}, {"f16", DType::f16}, {"bf16", DType::bf16}});
  return {[&source, path, options](const OnTensor& on_tensor) {
            export_hf(*source.model, source.text, path, options, on_tensor);
          },
          [&source, options] { return plan_hf(*source.model, options); }};
}

Export gguf_export(const cxxopts::ParseResult& parsed, const OpenedSource& source, const std::string& path,
                   I2sOrder i2s_order) {
  refuse_options(parsed, {"dtype", "head-screening", "layers", "embeddings"}, "a GGUF file");
  GgufExportOptions options;
  options.ternary = choose<std::optional<GgufType>>(parsed, "type",
                                                    {{"auto", std::nullopt},
                                                     {"tq1_0", GgufType::tq1_0},
                                                     {"tq2_0", GgufType::tq2_0},
                                                     {"i2_s", GgufType::i2_s}});
  options.head = choose<std::optional<GgufType>>(parsed, "head",
                                                 {{"auto", std::nullopt},
                                                  {"f32", GgufType::f32},
                                                  {"f16", GgufType::f16},
                                                  {"bf16", GgufType::bf16},
                                                  {"q8", GgufType::q8_0}});
  options.i2s_order = i2s_order;
  options.round_scales = parsed.count("round-scales") != 0;
  return {[&source, path, options](const OnTensor& on_tensor) {
            export_gguf(*source.model, source.text, path, options, on_tensor);
          },
          [&source, options] { return plan_gguf(*source.model, options); }};
}

Export choose_export(const cxxopts::ParseResult& parsed, Target target, const OpenedSource& source,
                     const std::string& path, I2sOrder i2s_order) {
  switch (target) {
    case Target::rotor:
      return rotor_export(parsed, source, path);
    case Target::gguf:
      return gguf_export(parsed, source, path, i2s_order);
    case Target::hf:
    case Target::hf_packed:
      return hf_export(parsed, source, path, target == Target::hf_packed);
  }
  fail("unknown target");
}

/// `change`: what merging adapters did, or nothing.
void print_tensor(const ExportedTensor& tensor, const std::string& change) {
  std::fprintf(stderr, "  %-24s %-14s %-14s %10s", tensor.name.c_str(), shape_text(tensor.shape).c_str(),
               tensor.type.c_str(), tool::bytes_text(static_cast<double>(tensor.bytes)).c_str());
  if (tensor.ternary) {
    std::fprintf(stderr, "   %4.1f %% zeros, scale %.6g", 100 * tensor.counts.sparsity(),
                 static_cast<double>(tensor.scale));
  }
  std::fprintf(stderr, "%s%s\n", change.empty() ? "" : "; ", change.c_str());
}

void print_text(const ModelText& text, const std::string& source) {
  if (text.tokenizer != nullptr) {
    std::fprintf(stderr, "  tokenizer: %s%s\n", text.tokenizer->kind().c_str(),
                 text.metadata.chat_template ? ", with a chat template" : "");
  } else {
    std::fprintf(stderr,
                 "  note: no tokenizer in %s (tokenizer.json, tokenizer.model, or a GGUF file's): the model "
                 "takes and gives token ids\n",
                 source.c_str());
  }
}

void print_encoder(const BertConfig& bert) {
  std::fprintf(stderr, "  vectors of %lld numbers: %s pooling, %s; texts of up to %lld tokens\n",
               static_cast<long long>(bert.hidden_size), name(bert.pooling),
               bert.normalize ? "brought to length 1" : "as long as they come",
               static_cast<long long>(bert.max_seq_length));
}

cxxopts::Options make_options() {
  cxxopts::Options options("rotor-export",
                           "Converts a model: a checkpoint directory (Hugging Face), a GGUF file or a .rotor "
                           "file, into any of these. Ternary values and scales are kept bit for bit; what a "
                           "format cannot hold is refused.");
  const auto text = [](const char* fallback) {
    return cxxopts::value<std::string>()->default_value(fallback);
  };
  options.add_options()("source", "checkpoint directory, GGUF file with TQ1_0, TQ2_0 or I2_S, or .rotor file",
                        cxxopts::value<std::string>())("destination", "file or directory to write",
                                                       cxxopts::value<std::string>())(
      "to",
      "rotor | gguf | hf | hf-packed: what to write, if the destination's name does not tell. hf has "
      "float masters that are quantized at every use (the source's own, if it has them), hf-packed codes",
      cxxopts::value<std::string>())(
      "head",
      "what the token embedding and the head are kept as: f32 | f16 | q8, in GGUF files bf16 too; "
      "auto: q8 for .rotor, for GGUF the smallest of f16, bf16 and f32 that holds them exactly",
      text("auto"))(
      "head-screening",
      "on | off | auto: a low-bit copy of a q8 head, by which decoding reads only the rows that "
      "can matter; auto: if the head is large",
      text("auto"))(
      "layers", "f32 | f16 | q8: what the linear layers of a sentence encoder are kept as; auto: q8",
      text("auto"))("embeddings", "f32 | f16 | q8: the same of its embeddings; auto: q8", text("auto"))(
      "type",
      "tq1_0 | tq2_0 | i2_s: of ternary matrices in GGUF files; auto: i2_s for squared ReLU, else tq2_0",
      text("auto"))("round-scales", "let GGUF files with TQ round scales to float16 where they need to")(
      "dtype", "bf16 | f16 | f32: of what is no codes, for hf and hf-packed; auto: the first that is exact",
      text("auto"))("ternarize", "absmean: quantize a float checkpoint; it needs fine-tuning afterwards",
                    cxxopts::value<std::string>())(
      "i2s-order", "x86 | arm: of a GGUF file with I2_S, where it was or will be used", text("x86"))(
      "ignore-unknown", "leave out tensors that have no place in the model")(
      "adapter",
      "DIR[:WEIGHT]: merge a LoRA adapter (PEFT), WEIGHT times (default: 1), and round to ternary values "
      "again; "
      "may be repeated",
      cxxopts::value<std::vector<std::string>>())(
      "any-base", "take adapters that were made for other weights, if their shapes fit")(
      "dry-run", "say what would be written, write nothing")("version", "print the version");
  return options;
}

SourceOptions source_options(const cxxopts::ParseResult& parsed) {
  SourceOptions options;
  options.gguf.ignore_unknown = parsed.count("ignore-unknown") != 0;
  options.gguf.i2s_order =
      choose<I2sOrder>(parsed, "i2s-order", {{"x86", I2sOrder::x86}, {"arm", I2sOrder::arm}});
  if (parsed.count("ternarize") != 0) {
    options.ternarize = choose<bool>(parsed, "ternarize", {{"absmean", true}});
  }
  return options;
}

void print_source_notes(const OpenedSource& opened, const SourceOptions& options) {
  if (opened.is_i2s) {
    const bool x86 = options.gguf.i2s_order == I2sOrder::x86;
    std::fprintf(stderr,
                 "note: I2_S is read in the order of %s; files do not say theirs: if the text is noise, try "
                 "--i2s-order %s\n",
                 x86 ? "x86" : "ARM", x86 ? "arm" : "x86");
  }
  if (const auto* checkpoint = dynamic_cast<const Checkpoint*>(opened.model.get());
      checkpoint != nullptr && !checkpoint->left_out().empty()) {
    std::string names;
    for (const std::string& name : checkpoint->left_out()) names += (names.empty() ? "" : ", ") + name;
    std::fprintf(stderr, "note: left out, no vector goes through them: %s\n", tool::printable(names).c_str());
  }
  if (options.ternarize) {
    std::fprintf(
        stderr,
        "note: the matrices of a float model are rounded to -1, 0, +1 (absmean): it will speak noise "
        "until it is fine-tuned as a ternary model; --to hf keeps its float weights as masters for "
        "that\n");
  }
}

/// What was learnt with a chat template is to be asked with it: that of the first adapter that has one. Says
/// so if it is not the model's.
void take_chat_template(const std::vector<MergedAdapter>& adapters, ModelText& text) {
  std::string taken;
  for (const MergedAdapter& adapter : adapters) {
    const std::string& path = adapter.files->path();
    const auto found = text::adapter_text(path).metadata.chat_template;
    if (!found || found == text.metadata.chat_template) continue;
    if (taken.empty()) text.replace_chat_template(*found);
    std::fprintf(stderr, "note: the chat template of %s %s\n", path.c_str(),
                 taken.empty() ? "takes the place of the model's"
                               : cat("is not that of ", taken, ": left out").c_str());
    if (taken.empty()) taken = path;
  }
}

/// Puts the adapters that are asked for on the model. Returns the source that merges them, which the model is
/// then; nullptr if there are none.
const MergedSource* merge_adapters(const cxxopts::ParseResult& parsed, OpenedSource& opened) {
  const bool any_base = parsed.count("any-base") != 0;
  if (parsed.count("adapter") == 0) return nullptr;
  std::vector<MergedAdapter> adapters;
  std::string fingerprint;
  for (const std::string& text : parsed["adapter"].as<std::vector<std::string>>()) {
    const auto [directory, weight] = tool::read_adapter_option(text);
    adapters.push_back({std::make_shared<PeftAdapter>(directory), weight});
    const PeftAdapter& files = *adapters.back().files;
    files.check_shapes(opened.model->config(), opened.model->path());
    if (any_base || files.config().base_fingerprint.empty()) continue;
    if (fingerprint.empty()) fingerprint = base_fingerprint(*opened.model);
    files.check_fingerprint(fingerprint, opened.model->path());
  }
  take_chat_template(adapters, opened.text);
  auto merged = std::make_unique<MergedSource>(std::move(opened.model), std::move(adapters));
  const MergedSource* source = merged.get();
  opened.model = std::move(merged);
  return source;
}

int run(int argc, char** argv) {
  cxxopts::Options options = make_options();
  if (argc == 2 && std::string(argv[1]) == "--version") {
    std::printf("%s\n", tool::version_text().c_str());
    return 0;
  }
  const auto parsed = tool::parse_options(options, argc, argv, {"source", "destination"}, kExamples);
  if (!parsed) return 0;
  const auto source = (*parsed)["source"].as<std::string>();
  const auto destination = (*parsed)["destination"].as<std::string>();
  const Target target = target_of(*parsed, destination);
  const SourceOptions how = source_options(*parsed);
  OpenedSource opened = open_source(source, how);
  check_destination(source, destination);
  const MergedSource* merged = merge_adapters(*parsed, opened);
  const Export to_do = choose_export(*parsed, target, opened, destination, how.gguf.i2s_order);
  print_source_notes(opened, how);
  const ModelConfig& config = opened.model->config();
  std::fprintf(stderr, "%s: %s (%s), %lld parameters\n", source.c_str(), config.model_type.c_str(),
               opened.model->format().c_str(), static_cast<long long>(num_parameters(tensor_table(config))));
  const auto print_more = [&] {
    if (config.is_encoder()) print_encoder(config.bert);
    if (config.is_transformer() || config.is_encoder()) print_text(opened.text, source);
  };
  if (parsed->count("dry-run") != 0) {
    const auto plan = to_do.plan();
    std::fprintf(stderr, "would write %s:\n", destination.c_str());
    for (const PlannedTensor& tensor : plan) {
      std::fprintf(stderr, "  %-24s %s %s\n", tensor.name.c_str(), tensor.type.c_str(),
                   shape_text(tensor.shape).c_str());
    }
    print_more();
    return 0;
  }
  MergeReport report;
  size_t source_bytes = 0;
  size_t bytes = 0;
  to_do.write([&](const ExportedTensor& tensor) {
    source_bytes += tensor.source_bytes;
    bytes += tensor.bytes;
    print_tensor(tensor, merged != nullptr ? report.add(*merged, tensor.name) : "");
    if (tool::interrupted()) throw Interrupted();
  });
  print_more();
  std::fprintf(stderr, "%s: %s of tensors, from %s (1/%.1f)\n", destination.c_str(),
               tool::bytes_text(static_cast<double>(bytes)).c_str(),
               tool::bytes_text(static_cast<double>(source_bytes)).c_str(),
               static_cast<double>(source_bytes) / static_cast<double>(bytes));
  if (merged != nullptr) {
    std::fprintf(
        stderr, "%s  what became of the loss: %s\n", report.text().c_str(),
        target == Target::rotor
            ? cat("rotor perplexity ", destination, " --file TEXT, and its base with --adapter").c_str()
            : "rotor-train eval CONFIG --checkpoint, of the adapter and of this");
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  tool::catch_interrupts();
  return tool::run_guarded("rotor-export", [&] {
    try {
      return run(argc, argv);
    } catch (const Interrupted&) {  // what was half written is gone by now
      return tool::kInterruptedStatus;
    }
  });
}
