// What a device offers of what we can use. Vulkan 1.1 is asked for, all else is used where it is there.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "runtime/backends/gpu/device.h"
#include "runtime/backends/vulkan/vulkan_instance.h"

namespace rotor::runtime::vulkan {

struct Features {
  gpu::DeviceInfo info;
  uint32_t queue_family = 0;
  std::vector<const char*> extensions;  ///< to be switched on

  bool dot_product = false;     ///< kernels may use it; info.dot_product: and it is fast
  bool full_subgroups = false;  ///< a group can be made of subgroups without idle work items
  bool memory_budget = false;   ///< the driver knows how much memory is free
  bool host_import = false;     ///< memory of the machine can become a buffer
  uint32_t most_allocations = 0;
  std::array<uint32_t, 3> most_groups{};  ///< of a kernel, in each direction
};

/// None if kernels cannot run on that device.
std::optional<Features> find_features(const vk::raii::PhysicalDevice& device);

/// Opens it with one queue of features.queue_family, and with those features.
vk::raii::Device open_device(const vk::raii::PhysicalDevice& device, const Features& features);

}  // namespace rotor::runtime::vulkan
