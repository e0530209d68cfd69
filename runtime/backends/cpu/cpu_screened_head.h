// The head that reads less: a pass over its low-bit copy says which rows can matter, and only those are read.
#pragma once

#include "rotor/kernels/kernels.h"
#include "runtime/backends/backend.h"
#include "runtime/backends/cpu/thread_pool.h"

namespace rotor::runtime {

/// Backend::screened_head. Results do not depend on the number of threads.
int64_t cpu_screened_head(const kernels::Kernels& kernels, ThreadPool& pool, const Tensor& x,
                          const ScreenedHead& head, const WantedLogits& wanted, const Tensor& y);

}  // namespace rotor::runtime
