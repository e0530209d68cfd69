// How fast a device reads its memory.
#pragma once

#include "runtime/backends/gpu/context.h"

namespace rotor::runtime::gpu {

/// Bytes a second that a kernel gets which only reads at least 1 GiB of the device's memory. Throws Error if
/// there is no room for that.
double read_bandwidth(Context& context);

}  // namespace rotor::runtime::gpu
