// Linear layers on a GPU: quantize the input, multiply by planes or by a dense matrix, scale.
#pragma once

#include "runtime/backends/backend.h"
#include "runtime/backends/gpu/context.h"

namespace rotor::runtime::gpu {

/// What becomes the input of linear layers: x, or kind(x) * up, normalised or not.
struct LinearInput {
  Tensor x;
  const Tensor* up = nullptr;
  Activation kind = Activation::relu2;
  InputNorm norm;
};

/// How many fours of columns a work item of quantize_int8.comp keeps: all of its own, or none if they are many.
uint32_t kept_words(int64_t cols, uint32_t group);

/// Backend::linear and Backend::gated_linear.
void gpu_linear(Context& context, const LinearInput& input, std::span<const Projection> projections);

}  // namespace rotor::runtime::gpu
