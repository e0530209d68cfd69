// Which of a device's kinds of memory a buffer gets. Memory of the device that the processor can also read
// from its cache is mapped, and then needs no staging: that is so where both share one memory.
#include "runtime/backends/vulkan/vulkan_memory.h"

#include <algorithm>
#include <tuple>

#include "rotor/core/error.h"

namespace rotor::runtime::vulkan {
namespace {

using Flag = vk::MemoryPropertyFlagBits;

constexpr vk::BufferUsageFlags kRead =
    vk::BufferUsageFlagBits::eStorageBuffer | vk::BufferUsageFlagBits::eTransferSrc;
constexpr vk::BufferUsageFlags kReadWrite = kRead | vk::BufferUsageFlagBits::eTransferDst;
constexpr vk::MemoryPropertyFlags kVisible = Flag::eHostVisible | Flag::eHostCoherent;
constexpr auto kHostMemory = vk::ExternalMemoryHandleTypeFlagBits::eHostAllocationEXT;

bool has(vk::MemoryPropertyFlags flags, vk::MemoryPropertyFlags wanted) {
  return (flags & wanted) == wanted;
}

}  // namespace

Memory::Memory(const vk::raii::PhysicalDevice& physical, const vk::raii::Device& device,
               const Features& features)
    : physical_(physical),
      device_(device),
      features_(features),
      properties_(physical.getMemoryProperties()),
      used_(properties_.memoryHeapCount) {
  const std::optional<uint32_t> type = choose_type(~0U, false);
  if (!type) fail("Vulkan device ", features.info.name, ": expected memory of its own, found none");
  device_heap_ = properties_.memoryTypes[*type].heapIndex;
}

std::optional<uint32_t> Memory::choose_type(uint32_t allowed, bool host) const {
  std::optional<uint32_t> best;
  std::tuple<bool, uint64_t, bool> best_merit;
  for (uint32_t i = 0; i < properties_.memoryTypeCount; ++i) {
    const vk::MemoryPropertyFlags flags = properties_.memoryTypes[i].propertyFlags;
    if ((allowed >> i & 1U) == 0 || !has(flags, host ? kVisible : Flag::eDeviceLocal)) continue;
    // Beyond a bus, what the processor reads lies better on its side; without one, all is the device's.
    const bool near = has(flags, Flag::eDeviceLocal) == features_.info.unified_memory;
    const uint64_t heap_bytes = properties_.memoryHeaps[properties_.memoryTypes[i].heapIndex].size;
    const bool direct = has(flags, kVisible | Flag::eHostCached);
    const auto merit =
        host ? std::tuple(direct, uint64_t{near}, false) : std::tuple(true, heap_bytes, direct);
    if (!best || merit > best_merit) {
      best = i;
      best_merit = merit;
    }
  }
  return best;
}

uint64_t Memory::free(uint32_t heap) const {
  uint64_t most = properties_.memoryHeaps[heap].size;
  uint64_t used = used_[heap];
  if (features_.memory_budget) {
    const auto now = physical_.getMemoryProperties2<vk::PhysicalDeviceMemoryProperties2,
                                                    vk::PhysicalDeviceMemoryBudgetPropertiesEXT>();
    const auto& budget = now.get<vk::PhysicalDeviceMemoryBudgetPropertiesEXT>();
    most = budget.heapBudget[heap];
    used = budget.heapUsage[heap];
  }
  return most - std::min(most, used);
}

void Memory::count(const Block& block) {
  ++allocations_;
  if (!block.imported) used_[block.heap] += block.bytes;
}

void Memory::give_back(const Block& block) {
  --allocations_;
  if (!block.imported) used_[block.heap] -= block.bytes;
}

Block Memory::allocate(uint64_t size, bool host) {
  const gpu::DeviceInfo& info = features_.info;
  const auto refuse = [&](const char* why, uint64_t free_bytes) {
    fail("Vulkan device ", info.name, ": no memory for a buffer of ", size, " bytes: ", why, "; ", free_bytes,
         " bytes are free, ", info.largest_buffer, " is the largest buffer, ", allocations_, " of at most ",
         features_.most_allocations, " are allocated");
  };
  if (size > info.largest_buffer) refuse("too large", free());
  if (allocations_ >= features_.most_allocations) refuse("too many", free());

  Block block;
  const uint64_t whole = round_up(std::max<uint64_t>(size, 1), kVectorBytes);
  block.buffer = {device_, vk::BufferCreateInfo({}, whole, kReadWrite)};
  const vk::MemoryRequirements needs = block.buffer.getMemoryRequirements();
  const std::optional<uint32_t> type = choose_type(needs.memoryTypeBits, host);
  if (!type) refuse(host ? "none that the processor sees" : "none of its own", free());
  block.heap = properties_.memoryTypes[*type].heapIndex;
  block.bytes = needs.size;
  if (block.bytes > properties_.memoryHeaps[block.heap].size) refuse("too large", free(block.heap));
  try {
    block.memory = {device_, vk::MemoryAllocateInfo(needs.size, *type)};
  } catch (const vk::OutOfDeviceMemoryError&) {
    refuse("the device's is full", free(block.heap));
  } catch (const vk::OutOfHostMemoryError&) {
    refuse("the machine's is full", free(block.heap));
  }
  block.buffer.bindMemory(*block.memory, 0);
  const vk::MemoryPropertyFlags flags = properties_.memoryTypes[*type].propertyFlags;
  if (host || has(flags, kVisible | Flag::eHostCached)) {
    block.mapped = static_cast<uint8_t*>(block.memory.mapMemory(0, VK_WHOLE_SIZE));
  }
  count(block);
  return block;
}

std::optional<Block> Memory::import(std::span<const uint8_t> bytes) {
  if (!features_.host_import || bytes.empty() || allocations_ >= features_.most_allocations) {
    return std::nullopt;
  }
  // The driver takes a pointer that it may write to; a buffer that kernels only read is never written.
  void* begin = const_cast<uint8_t*>(bytes.data());
  const uint64_t size = round_up(bytes.size(), 4096);
  if (size > features_.info.largest_buffer) return std::nullopt;
  try {
    Block block;
    const vk::ExternalMemoryBufferCreateInfo external(kHostMemory);
    block.buffer = {device_, vk::BufferCreateInfo({}, size, kRead).setPNext(&external)};
    const vk::MemoryRequirements needs = block.buffer.getMemoryRequirements();
    const uint32_t allowed =
        device_.getMemoryHostPointerPropertiesEXT(kHostMemory, begin).memoryTypeBits & needs.memoryTypeBits;
    if (allowed == 0 || needs.size > size) return std::nullopt;
    uint32_t type = 0;
    while ((allowed >> type & 1U) == 0) ++type;
    const vk::ImportMemoryHostPointerInfoEXT pointer(kHostMemory, begin);
    block.memory = {device_, vk::MemoryAllocateInfo(size, type).setPNext(&pointer)};
    block.buffer.bindMemory(*block.memory, 0);
    block.heap = properties_.memoryTypes[type].heapIndex;
    block.bytes = size;
    block.imported = true;
    count(block);
    return block;
  } catch (const vk::DeviceLostError&) {
    throw;
  } catch (const vk::SystemError&) {
    return std::nullopt;
  }
}

}  // namespace rotor::runtime::vulkan
