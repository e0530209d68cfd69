// Memory of a Vulkan device: one allocation a buffer, since our buffers are few and large.
#pragma once

#include <span>

#include "runtime/backends/vulkan/vulkan_features.h"

namespace rotor::runtime::vulkan {

/// Kernels read and write vectors of four words: buffers go on to the end of the last one.
inline constexpr uint64_t kVectorBytes = 16;

constexpr uint64_t round_up(uint64_t value, uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

/// A buffer with the memory under it.
struct Block {
  vk::raii::DeviceMemory memory{nullptr};
  vk::raii::Buffer buffer{nullptr};
  uint64_t bytes = 0;         ///< of memory
  uint32_t heap = 0;          ///< where they come from
  bool imported = false;      ///< the bytes are not of this device
  uint8_t* mapped = nullptr;  ///< where the processor sees them, if it can read and write them fast
};

class Memory {
 public:
  /// Both must outlive it; `features` too.
  Memory(const vk::raii::PhysicalDevice& physical, const vk::raii::Device& device, const Features& features);

  /// Bytes of the device's own memory that can still be allocated.
  uint64_t free() const { return free(device_heap_); }

  /// Unspecified contents. `host`: mapped; else in the device's memory. Throws Error saying what is free.
  Block allocate(uint64_t size, bool host);
  /// As gpu::Device::import(); std::nullopt if the driver refuses.
  std::optional<Block> import(std::span<const uint8_t> bytes);
  /// To be called when a block is about to go.
  void give_back(const Block& block);

 private:
  std::optional<uint32_t> choose_type(uint32_t allowed, bool host) const;
  uint64_t free(uint32_t heap) const;
  void count(const Block& block);

  const vk::raii::PhysicalDevice& physical_;
  const vk::raii::Device& device_;
  const Features& features_;
  vk::PhysicalDeviceMemoryProperties properties_;
  uint32_t device_heap_ = 0;
  uint64_t allocations_ = 0;
  std::vector<uint64_t> used_;  // bytes of each heap that we hold
};

}  // namespace rotor::runtime::vulkan
