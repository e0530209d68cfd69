// One function an architecture; a new one is a new function and a line in tensor_table().
#include "rotor/core/tensor_table.h"

#include "rotor/core/error.h"

namespace rotor {
namespace {

std::vector<TensorSpec> mlp_table(const MlpConfig& mlp) {
  std::vector<TensorSpec> table;
  for (int64_t i = 0; i < mlp.num_layers(); ++i) {
    const std::string layer = cat("layers.", i, ".");
    const int64_t in = mlp.layer_sizes[static_cast<size_t>(i)];
    const int64_t out = mlp.layer_sizes[static_cast<size_t>(i) + 1];
    table.push_back({layer + "linear.weight", {out, in}, TensorRole::linear});
    if (mlp.bias) table.push_back({layer + "linear.bias", {out}, TensorRole::vector});
    const bool last = i + 1 == mlp.num_layers();
    if (mlp.norm == Norm::rms && !last) table.push_back({layer + "norm.weight", {out}, TensorRole::vector});
  }
  return table;
}

}  // namespace

std::vector<TensorSpec> tensor_table(const ModelConfig& config) {
  if (config.model_type == "mlp") return mlp_table(config.mlp);
  fail("model_type: expected mlp, found ", config.model_type);
}

int64_t num_parameters(const std::vector<TensorSpec>& table) {
  int64_t total = 0;
  for (const TensorSpec& spec : table) {
    int64_t count = 1;
    for (const int64_t size : spec.shape) count *= size;
    total += count;
  }
  return total;
}

bool is_ternary(const ModelConfig& config, const TensorSpec& spec) {
  return config.quantization == Quantization::ternary && spec.role == TensorRole::linear;
}

std::string scale_name(const std::string& weight_name) {
  return weight_name + "_scale";
}

}  // namespace rotor
