// A linear layer whose float32 latent weights are ternary in every forward pass (BitNet b1.58), trained
// through the straight-through estimator. The packed layer that it becomes is runtime's linear op; both
// compute the same integers.
#pragma once

#include <torch/torch.h>

#include "rotor/core/model_config.h"

namespace rotor::train {

struct TernaryLinearOptions {
  TernaryLinearOptions(int64_t in_features, int64_t out_features)
      : in_features_(in_features), out_features_(out_features) {}

  TORCH_ARG(int64_t, in_features);
  TORCH_ARG(int64_t, out_features);
  TORCH_ARG(bool, bias) = false;
  /// `none` makes an ordinary linear layer: the float twin.
  TORCH_ARG(Quantization, quantization) = Quantization::ternary;
  /// What happens to the input of a ternary layer. `ternary_threshold`: it is ternary already (TernarySign
  /// made it).
  TORCH_ARG(ActivationQuantization, activation_quantization) = ActivationQuantization::int8_absmax;
};

/// Input [..., in_features], output [..., out_features].
/// Forward: y = (codes(x) . codes(W)) / x_scale * weight_scale + bias, where codes and scales are those of
/// rotor/core/quantize.h. Codes are small whole numbers, so the float32 product is their exact integer sum
/// (in_features is at most 132104: 127 * in < 2^24), and training, export and runtime agree on it to the bit.
/// Backward (straight-through, as W + (W' - W).detach()): grad W = grad y^T . x', grad x = grad y . W', with
/// x' and W' the dequantized values.
class TernaryLinearImpl : public torch::nn::Cloneable<TernaryLinearImpl> {
 public:
  TernaryLinearImpl(int64_t in_features, int64_t out_features)
      : TernaryLinearImpl(TernaryLinearOptions(in_features, out_features)) {}
  /// Throws Error if in_features is too large for exact sums.
  explicit TernaryLinearImpl(const TernaryLinearOptions& options);

  /// Kaiming-uniform weights as in torch::nn::Linear, zero bias.
  void reset() override;
  void pretty_print(std::ostream& stream) const override;
  torch::Tensor forward(const torch::Tensor& input);

  TernaryLinearOptions options;
  torch::Tensor weight;  ///< latent, float32 [out, in]
  torch::Tensor bias;    ///< float32 [out]; undefined without bias
};
TORCH_MODULE(TernaryLinear);

/// Ternary codes of a latent matrix as float32 values -1, 0, +1, and weight_scale as a float32 scalar tensor.
/// On the CPU this is rotor/core's quantizer; on a GPU the same formula, whose mean may differ in its last
/// bit.
struct QuantizedWeight {
  torch::Tensor codes;
  torch::Tensor scale;
};
QuantizedWeight quantize_weight(const torch::Tensor& weight);

/// int8 codes of activations [..., D] as whole float32 values, and the scale of each row [..., 1].
struct QuantizedActivation {
  torch::Tensor codes;
  torch::Tensor scale;
};
QuantizedActivation quantize_activation(const torch::Tensor& input);

}  // namespace rotor::train
