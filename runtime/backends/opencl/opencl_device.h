// The OpenCL devices of this machine, as runtime/backends/gpu needs them. OpenCL 1.2 is enough.
#pragma once

#include "runtime/backends/gpu/device.h"

namespace rotor::runtime {

extern const gpu::Driver kOpenClDriver;

}  // namespace rotor::runtime
