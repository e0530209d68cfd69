// Copies between modules and checkpoint files.
#include "train/models/parameters.h"

#include "rotor/core/error.h"
#include "train/models/ternary_linear.h"

namespace rotor::train {
namespace {

/// The layer whose weight is called `name`, if that is a TernaryLinear.
TernaryLinearImpl* find_ternary(torch::nn::Module& module, const std::string& name) {
  for (const auto& item : module.named_modules()) {
    if (item.key() + ".weight" == name) return dynamic_cast<TernaryLinearImpl*>(item.value().get());
  }
  return nullptr;
}

void load_packed(torch::nn::Module& module, const Checkpoint& checkpoint) {
  for (const TensorSpec& spec : tensor_table(checkpoint.config())) {
    if (!is_ternary(checkpoint.config(), spec)) continue;
    TernaryLinearImpl* layer = find_ternary(module, spec.name);
    if (layer == nullptr)
      fail(checkpoint.directory(), ": tensor \"", spec.name, "\" has no place in the module");
    const Checkpoint::Ternary matrix = checkpoint.ternary(spec);
    layer->freeze(matrix.codes, matrix.scale);
  }
}

}  // namespace

void load_parameters(torch::nn::Module& module, const Checkpoint& checkpoint) {
  const torch::NoGradGuard no_grad;
  if (checkpoint.packed()) load_packed(module, checkpoint);
  for (const auto& parameter : module.named_parameters()) {
    if (checkpoint.packed() && !parameter->requires_grad()) continue;
    std::vector<float> values = checkpoint.tensor(parameter.key());
    if (parameter->numel() != static_cast<int64_t>(values.size())) {
      fail(checkpoint.directory(), ": tensor \"", parameter.key(), "\": expected ", parameter->numel(),
           " values, found ", values.size());
    }
    parameter->copy_(torch::from_blob(values.data(), parameter->sizes(), torch::kFloat32));
  }
}

void save_parameters(const torch::nn::Module& module, const ModelConfig& config,
                     const std::string& directory) {
  const auto parameters = module.named_parameters();
  torch::Tensor held;  // keeps the values alive while they are written
  write_checkpoint(directory, config, [&](const TensorSpec& spec) -> std::span<const float> {
    held = parameters[spec.name].detach().to(torch::kCPU, torch::kFloat32).contiguous();
    return {held.data_ptr<float>(), static_cast<size_t>(held.numel())};
  });
}

}  // namespace rotor::train
