// Construction and forward pass.
#include "train/models/ternary_mlp.h"

#include "train/models/activations.h"

namespace rotor::train {
namespace {

/// One layer's container, so that parameters are named layers.N.linear.weight and layers.N.norm.weight.
struct LayerImpl : torch::nn::Module {
  LayerImpl(const TernaryLinearOptions& options, bool has_norm, double eps) {
    linear = register_module("linear", TernaryLinear(options));
    if (has_norm) norm = register_module("norm", RmsNorm(options.out_features(), eps));
  }
  TernaryLinear linear = nullptr;
  RmsNorm norm = nullptr;
};

}  // namespace

TernaryMlpImpl::TernaryMlpImpl(const ModelConfig& config) : torch::nn::Module("TernaryMlp"), config_(config) {
  config_.validate();
  const MlpConfig& mlp = config_.mlp;
  auto layers = register_module("layers", torch::nn::ModuleList());
  for (int64_t i = 0; i < mlp.num_layers(); ++i) {
    const auto at = static_cast<size_t>(i);
    const auto options = TernaryLinearOptions(mlp.layer_sizes[at], mlp.layer_sizes[at + 1])
                             .bias(mlp.bias)
                             .quantization(config_.quantization)
                             .activation_quantization(config_.activation_quantization());
    const bool has_norm = mlp.norm == Norm::rms && i + 1 < mlp.num_layers();
    const auto layer = std::make_shared<LayerImpl>(options, has_norm, mlp.norm_eps);
    layers->push_back(layer);
    linears_.push_back(layer->linear);
    norms_.push_back(layer->norm);
  }
}

torch::Tensor TernaryMlpImpl::forward_observed(const torch::Tensor& images, const Observer& observer) {
  const MlpConfig& mlp = config_.mlp;
  // A float twin of a sign network keeps the sign activations; its first layer sees the image as it is.
  const bool ternary_input = config_.activation_quantization() == ActivationQuantization::ternary_threshold;
  if (observer) observer(0, images);
  torch::Tensor x = ternary_input ? ternary_sign(images, mlp.sign_threshold) : images;
  for (size_t i = 0; i < linears_.size(); ++i) {
    x = linears_[i]->forward(x);
    if (i + 1 == linears_.size()) break;
    if (!norms_[i].is_empty()) x = norms_[i]->forward(x);
    if (mlp.activation == Activation::sign && observer) observer(static_cast<int64_t>(i) + 1, x);
    x = activate(x, mlp.activation, mlp.sign_threshold);
    if (mlp.activation != Activation::sign && observer) observer(static_cast<int64_t>(i) + 1, x);
    x = torch::dropout(x, mlp.dropout, is_training());
  }
  return x;
}

}  // namespace rotor::train
