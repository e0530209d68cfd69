// The multi-layer perceptron of MlpConfig as a LibTorch module. Layer i: linear -> norm -> activation ->
// dropout, the last one linear alone; with `activation: sign` the image is ternarized too. Parameter names
// are those of core/tensor_table.h.
#pragma once

#include <torch/torch.h>

#include <functional>
#include <vector>

#include "rotor/core/model_config.h"
#include "train/models/norm.h"
#include "train/models/ternary_linear.h"

namespace rotor::train {

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

}  // namespace rotor::train
