// Linear layers on the CPU: normalise and quantize the input, multiply by planes or by a dense matrix, scale.
#pragma once

#include "rotor/kernels/kernels.h"
#include "runtime/backends/backend.h"
#include "runtime/backends/cpu/thread_pool.h"

namespace rotor::runtime {

/// Backend::linear. Results do not depend on the number of threads, nor on how tokens are batched.
void cpu_linear(const kernels::Kernels& kernels, ThreadPool& pool, const Tensor& x, const InputNorm& norm,
                std::span<const Projection> projections);

}  // namespace rotor::runtime
