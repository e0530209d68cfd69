// GPUs, and processors that pass for one, by way of Vulkan 1.1 and what a device has on top of it. The
// library is loaded at run time: a program with this driver also runs where there is no Vulkan.
#pragma once

#include "runtime/backends/gpu/device.h"

namespace rotor::runtime {

/// "vulkan". Lists devices that have a queue for kernels and let a kernel see 8 buffers. With
/// ROTOR_VULKAN_VALIDATION=1 in the environment the Khronos validation layer watches: what it says goes to
/// stderr, and the device's next run(), wait() or transfer throws it as an Error.
extern const gpu::Driver kVulkanDriver;

}  // namespace rotor::runtime
