// The ops that models are written on: each checks its shapes and hands over to the backend. A wrong shape
// here is a bug in a model, not bad input, so it aborts.
#pragma once

#include "runtime/backends/backend.h"

namespace rotor::runtime::ops {

/// y = linear(x); x [B, weights.cols], y [B, weights.rows].
void linear(Backend& backend, const Tensor& x, const LinearWeights& weights, const Tensor& y);

/// y = rms_norm(x) * gain; x and y [B, D], gain [D]. In place if y is x.
void rms_norm(Backend& backend, const Tensor& x, std::span<const float> gain, float eps, const Tensor& y);

/// y = activation(x), element by element; x and y [B, D]; `threshold` is for sign. In place if y is x.
void activation(Backend& backend, const Tensor& x, Activation kind, float threshold, const Tensor& y);

}  // namespace rotor::runtime::ops
