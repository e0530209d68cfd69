// One queue, one submission at a time: what is run waits for what was run before, which is no loss, since the
// commands of a token depend on each other and a list of them is one submission.
#include "runtime/backends/vulkan/vulkan_device.h"

#include <algorithm>
#include <cstring>
#include <iostream>
#include <utility>

#include "rotor/core/error.h"
#include "runtime/backends/backend.h"
#include "runtime/backends/vulkan/vulkan_kernels.h"
#include "runtime/backends/vulkan/vulkan_memory.h"

namespace rotor::runtime {
namespace vulkan {
namespace {

using gpu::Binding;
using gpu::Command;

constexpr uint64_t kStagingBytes = 16 << 20;

struct VulkanBuffer : gpu::Buffer {
  VulkanBuffer(uint64_t size, Block&& given) : Buffer(size), block(std::move(given)) {}
  Block block;
};

vk::Buffer handle(const Binding& binding) {
  return *static_cast<const VulkanBuffer&>(*binding.buffer).block.buffer;
}

/// All that came before is done and seen by all that follows, in kernels and copies.
void order(const vk::raii::CommandBuffer& commands) {
  constexpr vk::PipelineStageFlags kStages =
      vk::PipelineStageFlagBits::eComputeShader | vk::PipelineStageFlagBits::eTransfer;
  constexpr vk::AccessFlags kWritten = vk::AccessFlagBits::eShaderWrite | vk::AccessFlagBits::eTransferWrite;
  constexpr vk::AccessFlags kRead = vk::AccessFlagBits::eShaderRead | vk::AccessFlagBits::eTransferRead;
  commands.pipelineBarrier(kStages, kStages, {}, vk::MemoryBarrier(kWritten, kRead | kWritten), {}, {});
}

/// The processor sees what was written.
void show_host(const vk::raii::CommandBuffer& commands) {
  commands.pipelineBarrier(
      vk::PipelineStageFlagBits::eComputeShader | vk::PipelineStageFlagBits::eTransfer,
      vk::PipelineStageFlagBits::eHost, {},
      vk::MemoryBarrier(vk::AccessFlagBits::eShaderWrite | vk::AccessFlagBits::eTransferWrite,
                        vk::AccessFlagBits::eHostRead),
      {}, {});
}

class VulkanDevice : public gpu::Device {
 public:
  VulkanDevice(std::unique_ptr<Instance> instance, const vk::raii::PhysicalDevice& physical,
               const Features& features);
  ~VulkanDevice() override;

  uint64_t free_memory() override;
  std::shared_ptr<gpu::Buffer> allocate(uint64_t size, bool host) override;
  std::shared_ptr<gpu::Buffer> import(std::span<const uint8_t> bytes) override;
  void write(gpu::Buffer& buffer, uint64_t offset, std::span<const uint8_t> bytes) override;
  void read(gpu::Buffer& buffer, uint64_t offset, std::span<uint8_t> bytes) override;
  const gpu::Kernel& kernel(const gpu::KernelKey& key) override;
  void wait() override;

 protected:
  std::unique_ptr<Recording> record(std::span<const Command> commands) override;
  void submit(Recording& recording) override;

 private:
  struct Recorded : Recording {
    vk::raii::DescriptorPool pool{nullptr};
    vk::raii::CommandBuffer commands{nullptr};
  };

  /// Does the work as the only one, tells what goes wrong, and does nothing any more once the device is lost.
  template <class Work>
  auto guarded(const Work& work);
  std::shared_ptr<gpu::Buffer> shared(uint64_t size, Block&& block);
  void release(VulkanBuffer* buffer) noexcept;

  vk::raii::CommandBuffer new_commands() const;
  std::vector<vk::DescriptorSet> bind(std::span<const Command> commands, Recorded& recorded) const;
  void check(const Command& command) const;
  void start(const vk::raii::CommandBuffer& commands);
  void finish();
  void finish_quietly() noexcept;
  /// Does what `fill` records, now.
  template <class Fill>
  void transfer(const Fill& fill);
  const Block& staging();

  std::unique_ptr<Instance> instance_;
  vk::raii::PhysicalDevice physical_;
  Features features_;
  vk::raii::Device device_;
  vk::raii::Queue queue_;
  vk::raii::CommandPool pool_;
  vk::raii::Fence fence_;
  Memory memory_;
  Kernels kernels_;
  vk::raii::CommandBuffer transfers_;
  std::optional<Block> staging_;
  bool in_flight_ = false;
  std::string lost_;  // why, once it is
};

VulkanDevice::VulkanDevice(std::unique_ptr<Instance> instance, const vk::raii::PhysicalDevice& physical,
                           const Features& features)
    : instance_(std::move(instance)),
      physical_(physical),
      features_(features),
      device_(open_device(physical_, features_)),
      queue_(device_, features_.queue_family, 0),
      pool_(device_, {vk::CommandPoolCreateFlagBits::eResetCommandBuffer, features_.queue_family}),
      fence_(device_, vk::FenceCreateInfo()),
      memory_(physical_, device_, features_),
      kernels_(device_, features_),
      transfers_(new_commands()) {
  info_ = features_.info;
}

VulkanDevice::~VulkanDevice() {
  finish_quietly();
  forget_all();
}

template <class Work>
auto VulkanDevice::guarded(const Work& work) {
  const std::lock_guard lock(mutex_);
  if (!lost_.empty()) throw DeviceLost(lost_);
  try {
    return work();
  } catch (const vk::DeviceLostError&) {
    lost_ = cat("Vulkan device ", info_.name, " is lost, with all that it held");
    throw DeviceLost(lost_);
  } catch (const vk::SystemError& error) {
    fail("Vulkan device ", info_.name, ": ", error.what());
  }
}

uint64_t VulkanDevice::free_memory() {
  return guarded([&] { return memory_.free(); });
}

std::shared_ptr<gpu::Buffer> VulkanDevice::shared(uint64_t size, Block&& block) {
  return {new VulkanBuffer(size, std::move(block)), [this](VulkanBuffer* buffer) { release(buffer); }};
}

void VulkanDevice::release(VulkanBuffer* buffer) noexcept {
  const std::lock_guard lock(mutex_);
  finish_quietly();
  forget(buffer->id());
  memory_.give_back(buffer->block);
  delete buffer;
}

std::shared_ptr<gpu::Buffer> VulkanDevice::allocate(uint64_t size, bool host) {
  return guarded([&] {
    std::shared_ptr<gpu::Buffer> buffer = shared(size, memory_.allocate(size, host));
    const Block& block = static_cast<VulkanBuffer&>(*buffer).block;
    if (block.mapped != nullptr) {
      std::memset(block.mapped, 0, block.bytes);
    } else {
      transfer([&] { transfers_.fillBuffer(*block.buffer, 0, VK_WHOLE_SIZE, 0); });
    }
    return buffer;
  });
}

std::shared_ptr<gpu::Buffer> VulkanDevice::import(std::span<const uint8_t> bytes) {
  return guarded([&]() -> std::shared_ptr<gpu::Buffer> {
    std::optional<Block> block = memory_.import(bytes);
    return block ? shared(bytes.size(), std::move(*block)) : nullptr;
  });
}

void VulkanDevice::write(gpu::Buffer& buffer, uint64_t offset, std::span<const uint8_t> bytes) {
  guarded([&] {
    check_range(buffer, offset, bytes.size());
    finish();
    const Block& block = static_cast<VulkanBuffer&>(buffer).block;
    if (block.mapped != nullptr) {
      std::ranges::copy(bytes, block.mapped + offset);
      return;
    }
    const Block& between = staging();
    for (uint64_t done = 0; done < bytes.size(); done += kStagingBytes) {
      const auto part = bytes.subspan(done, std::min<uint64_t>(kStagingBytes, bytes.size() - done));
      std::ranges::copy(part, between.mapped);
      transfer([&] {
        transfers_.copyBuffer(*between.buffer, *block.buffer, vk::BufferCopy(0, offset + done, part.size()));
      });
    }
    instance_->messages().throw_any();
  });
}

void VulkanDevice::read(gpu::Buffer& buffer, uint64_t offset, std::span<uint8_t> bytes) {
  guarded([&] {
    check_range(buffer, offset, bytes.size());
    finish();
    const Block& block = static_cast<VulkanBuffer&>(buffer).block;
    if (block.mapped != nullptr) {
      std::copy_n(block.mapped + offset, bytes.size(), bytes.data());
      return;
    }
    const Block& between = staging();
    for (uint64_t done = 0; done < bytes.size(); done += kStagingBytes) {
      const auto part = bytes.subspan(done, std::min<uint64_t>(kStagingBytes, bytes.size() - done));
      transfer([&] {
        transfers_.copyBuffer(*block.buffer, *between.buffer, vk::BufferCopy(offset + done, 0, part.size()));
      });
      std::copy_n(between.mapped, part.size(), part.data());
    }
    instance_->messages().throw_any();
  });
}

const Block& VulkanDevice::staging() {
  if (!staging_) staging_ = memory_.allocate(kStagingBytes, true);
  return *staging_;
}

template <class Fill>
void VulkanDevice::transfer(const Fill& fill) {
  finish();
  transfers_.begin({vk::CommandBufferUsageFlagBits::eOneTimeSubmit});
  order(transfers_);
  fill();
  show_host(transfers_);
  transfers_.end();
  start(transfers_);
  finish();
}

const gpu::Kernel& VulkanDevice::kernel(const gpu::KernelKey& key) {
  return *guarded([&] { return &kernels_.get(key); });
}

vk::raii::CommandBuffer VulkanDevice::new_commands() const {
  const vk::CommandBufferAllocateInfo one(*pool_, vk::CommandBufferLevel::ePrimary, 1);
  return std::move(vk::raii::CommandBuffers(device_, one).front());
}

void VulkanDevice::check(const Command& command) const {
  for (size_t i = 0; i < 3; ++i) {
    if (command.groups[i] <= features_.most_groups[i]) continue;
    fail("Vulkan device ", info_.name, ": kernel ", static_cast<const VulkanKernel&>(*command.kernel).name,
         ": expected at most ", features_.most_groups[i], " groups in direction ", i, ", found ",
         command.groups[i]);
  }
}

// A set of descriptors for each command that is a kernel, in their order.
std::vector<vk::DescriptorSet> VulkanDevice::bind(std::span<const Command> commands,
                                                  Recorded& recorded) const {
  const auto runs_kernel = [](const Command& command) { return command.kernel != nullptr; };
  const auto count = static_cast<uint32_t>(std::ranges::count_if(commands, runs_kernel));
  if (count == 0) return {};
  const vk::DescriptorPoolSize size(vk::DescriptorType::eStorageBuffer, count * Command::kBindings);
  recorded.pool = {device_, vk::DescriptorPoolCreateInfo({}, count, size)};
  const std::vector<vk::DescriptorSetLayout> layouts(count, kernels_.buffers_layout());
  // Not the RAII ones: they go with their pool, at once.
  const std::vector<vk::DescriptorSet> sets = (*device_).allocateDescriptorSets(
      vk::DescriptorSetAllocateInfo(*recorded.pool, layouts), *device_.getDispatcher());
  auto set = sets.begin();
  for (const Command& command : commands) {
    if (!runs_kernel(command)) continue;
    std::array<vk::DescriptorBufferInfo, Command::kBindings> buffers;
    for (uint32_t i = 0; i < command.binding_count; ++i) {
      const Binding& binding = command.bindings[i];
      // Memory goes on to the end of the last vector that kernels read, which may not be cut off.
      const uint64_t end = round_up(binding.offset + binding.size, kVectorBytes);
      buffers[i] = vk::DescriptorBufferInfo(handle(binding), binding.offset, end - binding.offset);
    }
    if (command.binding_count > 0) {
      device_.updateDescriptorSets(
          vk::WriteDescriptorSet(*set, 0, 0, command.binding_count, vk::DescriptorType::eStorageBuffer,
                                 nullptr, buffers.data()),
          {});
    }
    ++set;
  }
  return sets;
}

std::unique_ptr<gpu::Device::Recording> VulkanDevice::record(std::span<const Command> commands) {
  return guarded([&] {
    auto recorded = std::make_unique<Recorded>();
    const std::vector<vk::DescriptorSet> sets = bind(commands, *recorded);
    auto set = sets.begin();
    recorded->commands = new_commands();
    const vk::raii::CommandBuffer& buffer = recorded->commands;
    buffer.begin(vk::CommandBufferBeginInfo());
    for (const Command& command : commands) {
      order(buffer);
      if (command.kernel == nullptr) {
        const Binding& from = command.bindings[0];
        const Binding& to = command.bindings[1];
        buffer.copyBuffer(handle(from), handle(to), vk::BufferCopy(from.offset, to.offset, from.size));
        continue;
      }
      check(command);
      buffer.bindPipeline(vk::PipelineBindPoint::eCompute,
                          *static_cast<const VulkanKernel&>(*command.kernel).pipeline);
      buffer.bindDescriptorSets(vk::PipelineBindPoint::eCompute, kernels_.layout(), 0, *set++, {});
      if (command.param_count > 0) {
        buffer.pushConstants<uint32_t>(kernels_.layout(), vk::ShaderStageFlagBits::eCompute, 0,
                                       {command.param_count, command.params.data()});
      }
      buffer.dispatch(command.groups[0], command.groups[1], command.groups[2]);
    }
    show_host(buffer);
    buffer.end();
    instance_->messages().throw_any();
    return std::unique_ptr<Recording>(std::move(recorded));
  });
}

void VulkanDevice::submit(Recording& recording) {
  guarded([&] {
    finish();
    start(static_cast<Recorded&>(recording).commands);
    instance_->messages().throw_any();
  });
}

void VulkanDevice::start(const vk::raii::CommandBuffer& commands) {
  device_.resetFences(*fence_);
  const vk::CommandBuffer handle = *commands;
  queue_.submit(vk::SubmitInfo({}, {}, handle), *fence_);
  in_flight_ = true;
}

void VulkanDevice::finish() {
  if (!in_flight_) return;
  while (device_.waitForFences(*fence_, true, UINT64_MAX) == vk::Result::eTimeout) {
  }
  in_flight_ = false;
}

void VulkanDevice::finish_quietly() noexcept {
  try {
    guarded([&] { finish(); });
  } catch (const std::exception&) {
    // Whoever calls next is told.
  }
}

void VulkanDevice::wait() {
  guarded([&] {
    finish();
    instance_->messages().throw_any();
  });
}

struct Opened {
  std::unique_ptr<Instance> instance;
  std::vector<std::pair<vk::raii::PhysicalDevice, Features>> devices;
};

Opened look() {
  Opened opened{Instance::load(), {}};
  if (!opened.instance) return opened;
  for (const vk::raii::PhysicalDevice& device : opened.instance->devices()) {
    if (std::optional<Features> features = find_features(device)) {
      opened.devices.emplace_back(device, std::move(*features));
    }
  }
  return opened;
}

template <class Work>
auto told(const Work& work) {
  try {
    return work();
  } catch (const vk::SystemError& error) {
    fail("Vulkan: ", error.what());
  }
}

std::vector<gpu::DeviceInfo> list() {
  return told([] {
    std::vector<gpu::DeviceInfo> infos;
    for (const auto& [device, features] : look().devices) infos.push_back(features.info);
    return infos;
  });
}

std::unique_ptr<gpu::Device> open(size_t index) {
  return told([&] {
    Opened opened = look();
    if (index >= opened.devices.size()) {
      fail("Vulkan: expected one of ", opened.devices.size(), " devices, found number ", index);
    }
    const auto& [device, features] = opened.devices[index];
    std::unique_ptr<Instance>& instance = opened.instance;
    return std::unique_ptr<gpu::Device>(new VulkanDevice(std::move(instance), device, features));
  });
}

}  // namespace
}  // namespace vulkan

constinit const gpu::Driver kVulkanDriver{"vulkan", vulkan::list, vulkan::open};

}  // namespace rotor::runtime
