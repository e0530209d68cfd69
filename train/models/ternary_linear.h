// A linear layer whose float32 latent weights are ternary in every forward pass (BitNet b1.58), trained
// through the straight-through estimator. The packed layer that it becomes is runtime's linear op; both
// compute the same integers.
#pragma once

#include <torch/torch.h>

#include <optional>
#include <span>
#include <vector>

#include "rotor/core/model_config.h"
#include "train/models/norm.h"
#include "train/models/quantizers.h"

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
  /// made it); `none`: it stays float.
  TORCH_ARG(ActivationQuantization, activation_quantization) = ActivationQuantization::int8_absmax;
  /// With a value the layer norms its input before all else, by `rms_norm.weight` and this eps (transformers,
  /// AutoBitLinear with use_rms_norm).
  TORCH_ARG(std::optional<double>, rms_norm_eps) = std::nullopt;
  /// What products are computed in: kFloat32, or kBFloat16 (int8 codes and trits are exact in it; sums are
  /// rounded).
  TORCH_ARG(torch::ScalarType, compute) = torch::kFloat32;
  /// A ternary layer that is not trained: its codes are kept as planes (packed_planes.h), without latents.
  TORCH_ARG(bool, packed) = false;
};

/// Input [..., in_features], output [..., out_features].
/// Forward, of x or its norm: y = (codes(x) . codes(W)) / x_scale * weight_scale + bias, where codes and
/// scales are those of rotor/core/quantize.h. Codes are small whole numbers, so the float32 product is their
/// exact integer sum (in_features is at most 132104: 127 * in < 2^24), and training, export and runtime agree
/// on it to the bit. Backward (straight-through, as W + (W' - W).detach()): grad W = grad y^T . x', grad x =
/// grad y . W', with x' and W' the dequantized values.
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

  /// Makes the layer compute with codes [out, in] and a scale as they were published, without latent weights:
  /// it can run but no longer learn.
  void freeze(std::span<const int8_t> codes, float scale);
  /// The same for a packed layer, by whole rows from `first` on.
  void set_codes(int64_t first, std::span<const int8_t> codes);
  void set_scale(float scale);
  /// Adds lora_B(lora_A(dropout(x))) * scale to the output, x being the layer's input before its norm (Hu et
  /// al., arXiv 2106.09685). A is Kaiming-uniform, B zero: nothing changes at first.
  void adapt(int64_t rank, double scale, double dropout);
  /// Codes into `codes`, float32 [out, in]; returns the scale.
  torch::Tensor quantize_to(const torch::Tensor& codes) const;

  /// How far a ternary layer is one, 0 to 1 (share): it computes with W + share (W' - W) and x + share (x' -
  /// x), W' and x' the dequantized values, so that a float model becomes ternary by and by. At 1 it is exact.
  void set_ternary_share(double share) { ternary_share_ = share; }
  double ternary_share() const { return ternary_share_; }

  TernaryLinearOptions options;
  torch::Tensor weight;                                  ///< latent, float32 [out, in]; undefined if packed
  torch::Tensor bias;                                    ///< float32 [out]; undefined without bias
  RmsNorm rms_norm = nullptr;                            ///< null without rms_norm_eps
  torch::Tensor planes;                                  ///< uint8 [2, out, plane_row_bytes(in)] if packed
  torch::Tensor weight_scale;                            ///< float32 scalar if packed
  torch::nn::Linear lora_a = nullptr, lora_b = nullptr;  ///< null unless adapted
  double lora_scale = 0.0;
  double lora_dropout = 0.0;

 private:
  torch::Tensor frozen_scale_;
  double ternary_share_ = 1.0;
};
TORCH_MODULE(TernaryLinear);

/// Layers that read the same input (q, k and v; gate and up): it is quantized once and multiplied by all
/// their codes at once, unless they norm it, each in its own way, or not all are ternary.
/// Codes are kept until a weight changes, so that micro-batches of a step share them.
class LinearGroup {
 public:
  LinearGroup() = default;
  /// At most three layers of equal options but for out_features, quantization and norms.
  explicit LinearGroup(std::vector<TernaryLinear> layers);

  /// Input [..., in] to the outputs of all layers side by side: [..., sum of out_features].
  torch::Tensor forward(const torch::Tensor& input);

 private:
  torch::Tensor products(const torch::Tensor& input);
  torch::Tensor forward_ternary(const torch::Tensor& input);
  torch::Tensor forward_partly_ternary(const torch::Tensor& input);
  torch::Tensor forward_packed(const torch::Tensor& input);
  torch::Tensor adapters(const torch::Tensor& input);
  void refresh_codes();

  std::vector<LinearGroup> apart_;  // a group a layer, if the layers cannot share an input; else empty
  std::vector<TernaryLinear> layers_;
  torch::Tensor codes_;                              // float32 [sum of out_features, in]
  torch::Tensor row_scales_;                         // [sum of out_features]
  std::vector<std::pair<void*, int64_t>> versions_;  // of the weights that codes_ belongs to
};

}  // namespace rotor::train
