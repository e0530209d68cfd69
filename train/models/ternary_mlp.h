// The multi-layer perceptron of MlpConfig as a LibTorch module. Layer i: linear -> norm -> activation ->
// dropout, the last one linear alone; with `activation: sign` the image is ternarized too. Parameter names
// are those of core/tensor_table.h.
#pragma once

#include <torch/torch.h>

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "rotor/formats/checkpoint.h"
#include "train/models/ternary_linear.h"

namespace rotor::train {

/// x / sqrt(mean(x^2) + eps) * weight over the last dimension (Zhang and Sennrich, arXiv 1910.07467, eq. 4).
class RmsNormImpl : public torch::nn::Cloneable<RmsNormImpl> {
 public:
  RmsNormImpl(int64_t size, double eps) : size_(size), eps_(eps) { RmsNormImpl::reset(); }
  void reset() override { weight = register_parameter("weight", torch::ones({size_})); }
  void pretty_print(std::ostream& stream) const override {
    stream << "rotor::train::RmsNorm(" << size_ << ", eps=" << eps_ << ")";
  }
  torch::Tensor forward(const torch::Tensor& x) {
    return x * torch::rsqrt(x.square().mean(-1, /*keepdim=*/true) + eps_) * weight;
  }

  torch::Tensor weight;  ///< [size]

 private:
  int64_t size_;
  double eps_;
};
TORCH_MODULE(RmsNorm);

class TernaryMlpImpl : public torch::nn::Module {
 public:
  /// Called with the layer and the float input of its linear layer, before quantization (for `sign`: before
  /// the sign).
  using Observer = std::function<void(int64_t layer, const torch::Tensor& input)>;

  /// Throws Error if `config` is not valid or not of type mlp.
  explicit TernaryMlpImpl(const ModelConfig& config);

  /// Images [B, inputs], normalised, to logits [B, classes].
  torch::Tensor forward(const torch::Tensor& images) { return forward_observed(images, {}); }
  torch::Tensor forward_observed(const torch::Tensor& images, const Observer& observer);

  const ModelConfig& config() const { return config_; }

 private:
  ModelConfig config_;
  std::vector<TernaryLinear> linears_;
  std::vector<RmsNorm> norms_;  // null holders where there is none
};
TORCH_MODULE(TernaryMlp);

/// Copies a checkpoint's tensors into the module's parameters. Throws Error if names or shapes differ.
void load_parameters(torch::nn::Module& module, const Checkpoint& checkpoint);

/// Writes a module's parameters as a checkpoint of `config` into an existing directory.
void save_parameters(const torch::nn::Module& module, const ModelConfig& config,
                     const std::string& directory);

}  // namespace rotor::train
