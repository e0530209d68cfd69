// rotor-train logits: what the training module itself computes, for comparisons with the packed model.
#include <cstdio>

#include "rotor/core/error.h"
#include "rotor/formats/safetensors.h"
#include "rotor/text/token_ids.h"
#include "rotor/tool/options.h"
#include "rotor/tool/progress.h"
#include "train/cli/blas.h"
#include "train/cli/commands.h"
#include "train/models/parameters.h"
#include "train/models/transformer.h"
#include "train/trainer/task.h"

namespace rotor::train::cli {
namespace {

constexpr const char* kLogitsExamples =
    "  rotor-train logits runs/quickstart/checkpoint --tokens \"1 2 3\" --out module.safetensors\n"
    "  rotor logits quickstart.rotor --tokens \"1 2 3\" --out packed.safetensors       the same of the "
    "packed model\n";

struct NamedTensor {
  std::string name;
  torch::Tensor values;  // float32 [tokens, width]
};

void write_tensors(const std::string& path, const std::vector<NamedTensor>& tensors) {
  std::vector<TensorDeclaration> declarations;
  for (const NamedTensor& tensor : tensors) {
    declarations.push_back({tensor.name, DType::f32, tensor.values.sizes().vec()});
  }
  SafetensorsWriter writer(path, {}, declarations);
  for (const NamedTensor& tensor : tensors) {
    const torch::Tensor values = tensor.values.contiguous();
    writer.write({static_cast<const uint8_t*>(values.data_ptr()), values.nbytes()});
  }
  writer.commit();
}

}  // namespace

int logits(int argc, char** argv) {
  cxxopts::Options options("rotor-train logits",
                           "Writes the logits of a checkpoint's training module for a row of tokens.");
  options.add_options()("checkpoint", "checkpoint directory", cxxopts::value<std::string>())(
      "tokens", "token ids: \"1 2 3\"", cxxopts::value<std::string>())(
      "out", "safetensors file to write: float32 `logits` [tokens, vocab]", cxxopts::value<std::string>())(
      "hidden", "`hidden.<layer>` as well: 0 the embedding, i behind layer i, last behind the final norm")(
      "activations", "int8 | float (float leaves inputs of ternary layers unquantized)",
      cxxopts::value<std::string>()->default_value("int8"))(
      "device", "cpu | cuda", cxxopts::value<std::string>()->default_value("cpu"));
  const auto parsed = tool::parse_options(options, argc, argv, {"checkpoint"}, kLogitsExamples);
  if (!parsed) return 0;
  for (const char* required : {"tokens", "out"}) {
    if (parsed->count(required) == 0) {
      throw tool::UsageError(cat("expected --", required, "; see rotor-train logits --help"));
    }
  }
  const auto activations = (*parsed)["activations"].as<std::string>();
  if (activations != "int8" && activations != "float") {
    throw tool::UsageError("--activations: expected int8 or float, found \"" + activations + "\"");
  }
  use_fast_blas();
  const Checkpoint checkpoint((*parsed)["checkpoint"].as<std::string>());
  const torch::Device device = make_device((*parsed)["device"].as<std::string>());
  TransformerOptions module_options;
  module_options.float_activations = activations == "float";
  Transformer model(checkpoint.config(), module_options);
  load_parameters(*model, checkpoint);
  model->to(device);
  const auto ids = text::parse_token_ids("--tokens", (*parsed)["tokens"].as<std::string>(),
                                         checkpoint.config().transformer.vocab_size);

  const torch::NoGradGuard no_grad;
  std::vector<NamedTensor> tensors;
  const torch::Tensor output =
      model->forward_observed(torch::tensor(ids, torch::kInt64).unsqueeze(0).to(device), {},
                              [&](int64_t layer, const torch::Tensor& hidden) {
                                if (parsed->count("hidden") != 0)
                                  tensors.push_back({cat("hidden.", layer), hidden[0].to(torch::kCPU)});
                              });
  tensors.push_back({"logits", output[0].to(torch::kCPU)});
  const auto path = (*parsed)["out"].as<std::string>();
  write_tensors(path, tensors);
  std::fprintf(stderr, "%s: logits of %s\n", path.c_str(),
               tool::count_text(static_cast<int64_t>(ids.size()), "token").c_str());
  return 0;
}

}  // namespace rotor::train::cli
