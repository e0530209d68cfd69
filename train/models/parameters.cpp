// Copies between modules and checkpoint files.
#include "train/models/parameters.h"

#include <algorithm>

#include "rotor/core/absmean_masters.h"
#include "rotor/core/error.h"
#include "rotor/core/parallel.h"
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

/// Masters of a ternary matrix of which only codes and scale are known.
std::vector<float> make_masters(const ModelSource& source, const TensorSpec& spec) {
  std::vector<float> masters(static_cast<size_t>(spec.shape[0] * spec.shape[1]));
  std::vector<int8_t> codes(masters.size());
  source.read_trits(spec, 0, spec.shape[0], codes);
  const auto nonzero = codes.size() - static_cast<size_t>(std::ranges::count(codes, 0));
  AbsmeanMasters(nonzero, codes.size(), source.scale(spec)).fill(codes, 0, 0, masters);
  return masters;
}

/// Fills a float32 tensor on the CPU, of a module in which the matrix is ternary or not.
void fill(const torch::Tensor& tensor, const ModelSource& source, const TensorSpec& spec, bool ternary) {
  if (ternary && is_ternary(source.config(), spec) && !source.has_masters()) {
    std::vector<float> values = make_masters(source, spec);
    tensor.copy_(torch::from_blob(values.data(), tensor.sizes(), torch::kFloat32));
    return;
  }
  const int64_t cols = tensor.dim() == 1 ? 1 : tensor.size(1);
  parallel_rows(tensor.size(0), rows_a_piece(cols), [&](int64_t first, int64_t count) {
    source.read_values(spec, first, count,
                       {tensor.data_ptr<float>() + first * cols, static_cast<size_t>(count * cols)});
  });
}

/// Codes and scale of a layer that is not trained, by pieces of rows.
void load_planes(TernaryLinearImpl& layer, const ModelSource& source, const TensorSpec& spec) {
  const int64_t rows = layer.options.out_features();
  const int64_t cols = layer.options.in_features();
  if (spec.shape != std::vector{rows, cols}) {
    fail(source.path(), ": tensor \"", spec.name, "\": expected shape ", shape_text({rows, cols}), ", found ",
         shape_text(spec.shape));
  }
  parallel_rows(rows, rows_a_piece(cols), [&](int64_t first, int64_t count) {
    std::vector<int8_t> codes(static_cast<size_t>(count * cols));
    source.read_trits(spec, first, count, codes);
    layer.set_codes(first, codes);
  });
  layer.set_scale(source.scale(spec));
}

}  // namespace

void load_masters(torch::nn::Module& module, const ModelSource& source,
                  const std::function<void()>& on_tensor) {
  const torch::NoGradGuard no_grad;
  const auto parameters = module.named_parameters();
  size_t filled = 0;
  for (const TensorSpec& spec : tensor_table(source.config())) {
    TernaryLinearImpl* layer = find_ternary(module, spec.name);
    if (layer != nullptr && layer->options.packed()) {
      load_planes(*layer, source, spec);
    } else {
      const torch::Tensor* parameter = parameters.find(spec.name);
      if (parameter == nullptr)
        fail(source.path(), ": tensor \"", spec.name, "\" has no place in the module");
      if (parameter->sizes().vec() != spec.shape) {
        fail(source.path(), ": tensor \"", spec.name, "\": expected shape ",
             shape_text(parameter->sizes().vec()), ", found ", shape_text(spec.shape));
      }
      const bool ternary = layer != nullptr && layer->options.quantization() == Quantization::ternary;
      fill(*parameter, source, spec, ternary);
      ++filled;
    }
    if (on_tensor) on_tensor();
  }
  const auto is_adapter = [](const auto& item) { return item.key().find(".lora_") != std::string::npos; };
  const size_t expected =
      parameters.size() - static_cast<size_t>(std::ranges::count_if(parameters, is_adapter));
  if (filled != expected)
    fail(source.path(), ": expected ", expected, " tensors for this model, found ", filled);
}

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
