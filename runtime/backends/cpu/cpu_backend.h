// The CPU backend: activations in plain memory, products by rotor/kernels.
#pragma once

#include <cstdint>
#include <memory>

#include "runtime/backends/backend.h"

namespace rotor::runtime {

/// With the kernels that ROTOR_KERNELS names, else the fastest of this machine. Its ops may be called from
/// several threads at once; with more than one thread of its own they take turns. Throws Error if
/// ROTOR_KERNELS cannot be obeyed.
std::unique_ptr<Backend> make_cpu_backend(int64_t threads, bool pin);

}  // namespace rotor::runtime
