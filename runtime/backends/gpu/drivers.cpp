// The drivers, by what the build was told to include.
#include <vector>

#include "runtime/backends/gpu/device.h"
#ifdef ROTOR_HAS_OPENCL
#include "runtime/backends/opencl/opencl_device.h"
#endif
#ifdef ROTOR_HAS_VULKAN
#include "runtime/backends/vulkan/vulkan_device.h"
#endif

namespace rotor::runtime::gpu {

std::span<const Driver> drivers() {
  static const std::vector<Driver> kDrivers = {
#ifdef ROTOR_HAS_VULKAN
      kVulkanDriver,
#endif
#ifdef ROTOR_HAS_OPENCL
      kOpenClDriver,
#endif
  };
  return kDrivers;
}

}  // namespace rotor::runtime::gpu
