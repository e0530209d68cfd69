// The quantizers of rotor/core/quantize.h on tensors. On the CPU weights go through rotor/core itself;
// activations, and everything on a GPU, through the same formulas.
#pragma once

#include <torch/torch.h>

namespace rotor::train {

/// Ternary codes of a latent matrix as float32 values -1, 0, +1, and weight_scale as a float32 scalar tensor.
/// On the CPU this is rotor/core's quantizer; on a GPU the same formula, whose mean may differ in its last
/// bit. Throws Error if a weight on the CPU is not finite.
struct QuantizedWeight {
  torch::Tensor codes;
  torch::Tensor scale;
};
QuantizedWeight quantize_weight(const torch::Tensor& weight);
/// The same, with the codes written to `codes`, float32 of weight's shape and contiguous. Returns the scale.
torch::Tensor quantize_weight_to(const torch::Tensor& weight, const torch::Tensor& codes);

/// int8 codes of activations [..., D] as whole float32 values, and the scale of each row [..., 1].
struct QuantizedActivation {
  torch::Tensor codes;
  torch::Tensor scale;
};
QuantizedActivation quantize_activation(const torch::Tensor& input);

}  // namespace rotor::train
