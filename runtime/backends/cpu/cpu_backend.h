// The CPU backend: activations in plain memory, products by rotor/kernels.
#pragma once

#include <memory>

#include "runtime/backends/backend.h"

namespace rotor::runtime {

/// With the kernels that ROTOR_KERNELS names, else the fastest of this machine. Its ops may be called from
/// several threads at once. Throws Error if ROTOR_KERNELS cannot be obeyed.
std::unique_ptr<Backend> make_cpu_backend();

}  // namespace rotor::runtime
