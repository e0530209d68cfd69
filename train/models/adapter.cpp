// Layers are found by their names, which are those of the base's modules.
#include "train/models/adapter.h"

#include <cmath>
#include <memory>
#include <utility>
#include <vector>

#include "rotor/core/error.h"
#include "rotor/formats/peft_adapter.h"
#include "train/models/packed_planes.h"
#include "train/models/ternary_linear.h"

namespace rotor::train {
namespace {

using Layers = std::vector<std::pair<std::string, std::shared_ptr<TernaryLinearImpl>>>;

Layers adapted_layers(const torch::nn::Module& module) {
  Layers layers;
  for (const auto& item : module.named_modules()) {
    auto layer = std::dynamic_pointer_cast<TernaryLinearImpl>(item.value());
    if (layer != nullptr && !layer->lora_a.is_empty()) layers.emplace_back(item.key(), std::move(layer));
  }
  return layers;
}

std::span<const float> values_of(const torch::Tensor& tensor) {
  return {tensor.data_ptr<float>(), static_cast<size_t>(tensor.numel())};
}

void read_matrix(const PeftAdapter& adapter, const TensorInfo& info, torch::Tensor& weight) {
  if (info.shape != weight.sizes().vec()) {
    fail(adapter.path(), ": tensor \"", info.name, "\": expected shape ", shape_text(weight.sizes().vec()),
         ", found ", shape_text(info.shape));
  }
  std::vector<float> values = adapter.read(info);
  weight.copy_(torch::from_blob(values.data(), info.shape, torch::kFloat32));
}

double squares_of(const torch::Tensor& tensor) {
  return tensor.to(torch::kFloat64).square().sum().item<double>();
}

/// ||B A||^2 = sum of (B^T B) * (A A^T): of two small matrices.
double product_squares(const TernaryLinearImpl& layer) {
  const torch::Tensor a = layer.lora_a->weight.to(torch::kFloat64);
  const torch::Tensor b = layer.lora_b->weight.to(torch::kFloat64);
  const double squares = (torch::matmul(b.t(), b) * torch::matmul(a, a.t())).sum().item<double>();
  return layer.lora_scale * layer.lora_scale * squares;
}

double matrix_squares(const TernaryLinearImpl& layer) {
  if (layer.options.quantization() != Quantization::ternary) return squares_of(layer.weight);
  const torch::Tensor codes = torch::empty({layer.options.out_features(), layer.options.in_features()},
                                           layer.lora_a->weight.options().dtype(torch::kFloat32));
  if (layer.options.packed()) unpack_planes(layer.planes, codes);
  const double scale =
      (layer.options.packed() ? layer.weight_scale : layer.quantize_to(codes)).item<double>();
  return scale * scale * static_cast<double>(codes.count_nonzero().item<int64_t>());
}

}  // namespace

std::vector<std::pair<std::string, double>> adapter_sizes(const torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  std::vector<std::pair<std::string, double>> sizes;
  double all_products = 0.0;
  double all_matrices = 0.0;
  for (const auto& [name, layer] : adapted_layers(module)) {
    const double products = product_squares(*layer);
    const double matrices = matrix_squares(*layer);
    all_products += products;
    all_matrices += matrices;
    sizes.emplace_back(name, std::sqrt(products / matrices));
  }
  if (!sizes.empty()) sizes.emplace(sizes.begin(), "all", std::sqrt(all_products / all_matrices));
  return sizes;
}

void save_adapter(const torch::nn::Module& module, const LoraConfig& config, const std::string& directory) {
  std::vector<torch::Tensor> held;  // on the CPU, while they are written
  std::vector<LoraMatrices> matrices;
  for (const auto& [name, layer] : adapted_layers(module)) {
    for (const torch::nn::Linear& part : {layer->lora_a, layer->lora_b}) {
      held.push_back(part->weight.detach().to(torch::kCPU, torch::kFloat32).contiguous());
    }
    matrices.push_back({.module = name,
                        .inputs = layer->options.in_features(),
                        .outputs = layer->options.out_features(),
                        .a = values_of(held[held.size() - 2]),
                        .b = values_of(held.back())});
  }
  write_peft_adapter(directory, config, matrices);
}

void load_adapter(torch::nn::Module& module, const LoraConfig& config, const std::string& directory) {
  const torch::NoGradGuard no_grad;
  const PeftAdapter adapter(directory);
  adapter.check_fingerprint(config.base_fingerprint, config.base_model);
  const Layers layers = adapted_layers(module);
  for (const auto& [name, layer] : layers) {
    const LoraLayer* found = adapter.find(name);
    if (found == nullptr) fail(directory, ": expected an adapter of layer ", name, ", found none");
    read_matrix(adapter, *found->a, layer->lora_a->weight);
    read_matrix(adapter, *found->b, layer->lora_b->weight);
  }
  if (layers.size() != adapter.layers().size()) {
    fail(directory, ": expected adapters of ", layers.size(), " layers, found ", adapter.layers().size());
  }
}

}  // namespace rotor::train
