// Layer i: linear -> norm -> activation; the last one is linear alone. Dropout is for training.
#include "runtime/model/mlp.h"

#include "rotor/core/error.h"
#include "runtime/model/weight_list.h"
#include "runtime/ops/ops.h"

namespace rotor::runtime {

Mlp::Mlp(const RotorFile& file) : config_(file.config()) {
  if (config_.model_type != "mlp")
    fail(file.path(), ": model_type: expected mlp, found ", config_.model_type);
  const MlpConfig& mlp = config_.mlp;
  for (int64_t i = 0; i < mlp.num_layers(); ++i) {
    const std::string prefix = cat("layers.", i, ".");
    Layer layer;
    layer.linear.rows = mlp.layer_sizes[static_cast<size_t>(i) + 1];
    layer.linear.cols = mlp.layer_sizes[static_cast<size_t>(i)];
    layer.linear.activation_quantization = config_.activation_quantization();
    layer.linear.ternary_threshold = static_cast<float>(mlp.sign_threshold);
    if (config_.quantization == Quantization::ternary) {
      layer.linear.ternary = file.ternary(prefix + "linear.weight");
    } else {
      const auto weights = file.floats(prefix + "linear.weight");
      layer.linear.dense = {layer.linear.rows,
                            layer.linear.cols,
                            DenseType::f32,
                            reinterpret_cast<const uint8_t*>(weights.data()),
                            {}};
    }
    if (mlp.bias) layer.linear.bias = file.floats(prefix + "linear.bias");
    if (mlp.norm == Norm::rms && i + 1 < mlp.num_layers()) layer.norm = file.floats(prefix + "norm.weight");
    layers_.push_back(layer);
  }
}

std::vector<WeightBytes> Mlp::weights() const {
  std::vector<WeightBytes> list;
  for (const Layer& layer : layers_) {
    add_weights(list, layer.linear);
    add_weights(list, layer.norm);
  }
  return list;
}

Mlp::Workspace Mlp::make_workspace(Backend& backend, int64_t batch) const {
  Workspace workspace;
  workspace.input = backend.allocate(batch, config_.mlp.layer_sizes.front());
  for (const Layer& layer : layers_) workspace.layers.push_back(backend.allocate(batch, layer.linear.rows));
  return workspace;
}

const Tensor& Mlp::forward(Backend& backend, Workspace& workspace, const Observer& observer) const {
  const Tensor* x = &workspace.input;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Tensor& y = workspace.layers[i];
    if (observer) observer(static_cast<int64_t>(i), *x);
    ops::linear(backend, *x, layers_[i].linear, y);
    if (!layers_[i].norm.empty()) {
      ops::rms_norm(backend, y, layers_[i].norm, static_cast<float>(config_.mlp.norm_eps), y);
    }
    // A fully ternary network's sign is the quantizer of the next linear op, which packs its result into
    // planes at once.
    const bool left_to_quantizer =
        config_.activation_quantization() == ActivationQuantization::ternary_threshold;
    if (i + 1 < layers_.size() && !left_to_quantizer) {
      ops::activation(backend, y, config_.mlp.activation, static_cast<float>(config_.mlp.sign_threshold), y);
    }
    x = &y;
  }
  return *x;
}

}  // namespace rotor::runtime
