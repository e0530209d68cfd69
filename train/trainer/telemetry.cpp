// One pass over latent weights and codes after the quantizer's own.
#include "train/trainer/telemetry.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <utility>

#include "rotor/core/error.h"
#include "rotor/core/quantize.h"
#include "rotor/formats/safetensors.h"
#include "train/models/ternary_linear.h"

namespace rotor::train {
namespace {

void count_row(std::span<const float> latent, float inverse_scale, std::span<const int8_t> codes,
               LayerTelemetry& layer) {
  int64_t minus = 0;
  int64_t plus = 0;
  int64_t near = 0;
  for (size_t i = 0; i < codes.size(); ++i) {
    minus += codes[i] < 0;
    plus += codes[i] > 0;
    near += std::fabs(std::fabs(latent[i] * inverse_scale) - 0.5F) <= kNearThreshold;
  }
  layer.minus += minus;
  layer.plus += plus;
  layer.near_threshold += near;
  layer.dead_rows += minus + plus == 0;
}

LayerTelemetry::Changes count_changes(std::span<const int8_t> before, std::span<const int8_t> after) {
  LayerTelemetry::Changes changes;
  for (size_t i = 0; i < after.size(); ++i) {
    changes.sign_flips += before[i] * after[i] < 0;
    changes.to_zero += before[i] != 0 && after[i] == 0;
    changes.from_zero += before[i] == 0 && after[i] != 0;
  }
  return changes;
}

/// Counts one layer and replaces `codes`, those of the observation before (empty: there was none).
LayerTelemetry observe_layer(const std::string& name, const torch::Tensor& tensor,
                             std::vector<int8_t>& codes) {
  const torch::Tensor latent = tensor.detach().to(torch::kCPU, torch::kFloat32).contiguous();
  const auto count = static_cast<size_t>(latent.numel());
  const std::span<const float> weights(latent.data_ptr<float>(), count);
  LayerTelemetry layer{.name = name, .num_weights = latent.numel()};
  std::vector<int8_t> now(count);
  TernaryScale scale{};
  try {
    scale = quantize_absmean(weights, now);
  } catch (const NotFiniteError& e) {
    throw NotFiniteError(cat(name, ": ", e.what()));
  }
  layer.scale = scale.scale;
  const size_t columns = latent.dim() == 0 ? count : static_cast<size_t>(latent.size(-1));
  for (size_t first = 0; first < count; first += columns) {
    count_row(weights.subspan(first, columns), scale.inverse_scale,
              std::span<const int8_t>(now).subspan(first, columns), layer);
  }
  layer.zero = layer.num_weights - layer.minus - layer.plus;
  if (codes.size() == count) layer.changes = count_changes(codes, now);
  codes = std::move(now);
  return layer;
}

}  // namespace

void TernaryTelemetry::save(const std::string& path) const {
  std::vector<TensorDeclaration> declarations;
  for (const auto& [name, codes] : codes_) {
    declarations.push_back({name, DType::i8, {static_cast<int64_t>(codes.size())}});
  }
  SafetensorsWriter writer(path, {}, declarations);
  for (const auto& [name, codes] : codes_) {
    writer.write({reinterpret_cast<const uint8_t*>(codes.data()), codes.size()});
  }
  writer.commit();
}

void TernaryTelemetry::load(const std::string& path) {
  codes_.clear();
  const SafetensorsFile file(path);
  for (const TensorInfo& tensor : file.tensors()) codes_[tensor.name] = file.read<int8_t>(tensor.name);
}

std::vector<LayerTelemetry> TernaryTelemetry::observe(const Latents& latents) {
  std::vector<std::vector<int8_t>*> codes;  // found here, since a map must not grow in several threads
  for (const auto& [name, tensor] : latents) codes.push_back(&codes_[name]);
  std::vector<LayerTelemetry> layers(latents.size());
  at::parallel_for(0, static_cast<int64_t>(latents.size()), 1, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); std::cmp_less(i, end); ++i) {
      layers[i] = observe_layer(latents[i].first, latents[i].second, *codes[i]);
    }
  });
  return layers;
}

TernaryTelemetry::Latents ternary_latents(const torch::nn::Module& module) {
  TernaryTelemetry::Latents latents;
  for (const auto& entry : module.named_modules()) {
    const auto linear = std::dynamic_pointer_cast<TernaryLinearImpl>(entry.value());
    if (linear == nullptr || linear->options.quantization() != Quantization::ternary) continue;
    if (!linear->weight.defined()) continue;  // it is not trained
    latents.emplace_back(entry.key().empty() ? "weight" : entry.key() + ".weight", linear->weight);
  }
  return latents;
}

LayerTelemetry sum_of(const std::vector<LayerTelemetry>& layers) {
  LayerTelemetry sum{.name = "all"};
  if (!layers.empty()) sum.changes.emplace();
  for (const LayerTelemetry& layer : layers) {
    sum.num_weights += layer.num_weights;
    sum.minus += layer.minus;
    sum.zero += layer.zero;
    sum.plus += layer.plus;
    sum.near_threshold += layer.near_threshold;
    sum.dead_rows += layer.dead_rows;
    if (!layer.changes) sum.changes.reset();
    if (!sum.changes) continue;
    sum.changes->sign_flips += layer.changes->sign_flips;
    sum.changes->to_zero += layer.changes->to_zero;
    sum.changes->from_zero += layer.changes->from_zero;
  }
  return sum;
}

std::vector<std::pair<std::string, double>> figures(const LayerTelemetry& layer) {
  const auto share = [&](int64_t count) {
    return static_cast<double>(count) / static_cast<double>(std::max<int64_t>(layer.num_weights, 1));
  };
  std::vector<std::pair<std::string, double>> found = {{"minus", share(layer.minus)},
                                                       {"zero", share(layer.zero)},
                                                       {"plus", share(layer.plus)},
                                                       {"near_threshold", share(layer.near_threshold)},
                                                       {"dead_rows", static_cast<double>(layer.dead_rows)}};
  if (layer.changes) {
    found.emplace_back("changed", share(layer.changes->total()));
    found.emplace_back("sign_flips", share(layer.changes->sign_flips));
    found.emplace_back("to_zero", share(layer.changes->to_zero));
    found.emplace_back("from_zero", share(layer.changes->from_zero));
  }
  if (layer.scale) found.emplace_back("scale", static_cast<double>(*layer.scale));
  return found;
}

Json telemetry_json(const std::vector<LayerTelemetry>& layers) {
  Json json = Json::object();
  if (layers.empty()) return json;
  const auto add = [&](const LayerTelemetry& layer) {
    Json& object = json[layer.name] = Json::object();
    for (const auto& [name, value] : figures(layer)) object[name] = value;
  };
  add(sum_of(layers));
  for (const LayerTelemetry& layer : layers) add(layer);
  return json;
}

}  // namespace rotor::train
