// Activations that LibTorch lacks or that need a gradient of their own.
#pragma once

#include <torch/torch.h>

#include "rotor/core/model_config.h"

namespace rotor::train {

/// relu(x)^2 (So et al., Primer, arXiv 2109.08668), the activation of BitNet b1.58 2B4T.
torch::Tensor squared_relu(const torch::Tensor& x);

/// +1 where x > threshold, -1 where x < -threshold, else 0.
/// Gradient, straight-through within the hard-tanh window (Courbariaux et al., arXiv 1602.02830, eq. 4): 1
/// where |x| <= 1, else 0.
torch::Tensor ternary_sign(const torch::Tensor& x, double threshold);

/// The activation of that name; `threshold` is for sign.
torch::Tensor activate(const torch::Tensor& x, Activation kind, double threshold);

}  // namespace rotor::train
