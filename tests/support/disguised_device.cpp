// Buffers and kernels of the real device under covers that know what was promised.
#include "tests/support/disguised_device.h"

#include <algorithm>
#include <stdexcept>

#include "rotor/core/error.h"
#include "runtime/backends/backend.h"

namespace rotor::test {

namespace gpu = runtime::gpu;
using gpu::Binding;
using gpu::Command;
using gpu::KernelKey;

class DisguisedDevice::Cover final : public gpu::Buffer {
 public:
  Cover(DisguisedDevice& device, std::shared_ptr<Buffer> real, bool ours)
      : Buffer(real->size()), device_(device), real_(std::move(real)), ours_(ours) {
    ++device_.counts_.buffers;
    if (ours_) device_.counts_.bytes += size();
  }
  ~Cover() override {
    const std::lock_guard lock(device_.mutex_);
    device_.forget(id());
    --device_.counts_.buffers;
    if (ours_) device_.counts_.bytes -= size();
  }
  Cover(const Cover&) = delete;
  Cover& operator=(const Cover&) = delete;

  static const std::shared_ptr<Buffer>& real(const Buffer& buffer) {
    return dynamic_cast<const Cover&>(buffer).real_;
  }

 private:
  DisguisedDevice& device_;
  std::shared_ptr<Buffer> real_;
  bool ours_;  // not imported
};

struct DisguisedDevice::Kernel final : gpu::Kernel {
  KernelKey key;
  const gpu::Kernel* real = nullptr;
};

struct DisguisedDevice::Commands final : Recording {
  std::vector<Command> list;
};

namespace {

void insist(bool kept, const auto&... what) {
  if (!kept) throw std::logic_error(cat(what...));
}

std::optional<uint32_t> value_of(const std::vector<KernelKey::Value>& values, const std::string& name) {
  const auto found = std::ranges::find(values, name, &KernelKey::Value::name);
  return found == values.end() ? std::nullopt : std::optional(found->value);
}

}  // namespace

DisguisedDevice::DisguisedDevice(std::shared_ptr<Device> real, const Change& change)
    : real_(std::move(real)) {
  info_ = real_->info();
  if (change) change(info_);
}

DisguisedDevice::~DisguisedDevice() {
  forget_all();
}

void DisguisedDevice::count_call() {
  const int64_t call = counts_.calls++;
  if (lose_at_ && call >= *lose_at_) throw runtime::DeviceLost("the disguised device is lost");
}

uint64_t DisguisedDevice::free_memory() {
  const std::lock_guard lock(mutex_);
  count_call();
  return memory_ ? *memory_ - std::min(*memory_, counts_.bytes) : real_->free_memory();
}

std::shared_ptr<gpu::Buffer> DisguisedDevice::covered(std::shared_ptr<gpu::Buffer> real, bool ours) {
  return real == nullptr ? nullptr : std::make_shared<Cover>(*this, std::move(real), ours);
}

std::shared_ptr<gpu::Buffer> DisguisedDevice::allocate(uint64_t size, bool host) {
  const std::lock_guard lock(mutex_);
  count_call();
  insist(size <= info_.largest_buffer, "a buffer of ", size, " bytes, at most ", info_.largest_buffer);
  if (memory_ && counts_.bytes + size > *memory_) fail(info_.name, ": no room for ", size, " bytes");
  return covered(real_->allocate(size, host), true);
}

std::shared_ptr<gpu::Buffer> DisguisedDevice::import(std::span<const uint8_t> bytes) {
  const std::lock_guard lock(mutex_);
  count_call();
  insist(info_.unified_memory, "import, without unified memory");
  if (bytes.size() > info_.largest_buffer) return nullptr;
  auto buffer = covered(real_->import(bytes), false);
  if (buffer != nullptr) ++counts_.imports;
  return buffer;
}

void DisguisedDevice::write(gpu::Buffer& buffer, uint64_t offset, std::span<const uint8_t> bytes) {
  const std::lock_guard lock(mutex_);
  count_call();
  counts_.bytes_to += bytes.size();
  real_->write(*Cover::real(buffer), offset, bytes);
}

void DisguisedDevice::read(gpu::Buffer& buffer, uint64_t offset, std::span<uint8_t> bytes) {
  const std::lock_guard lock(mutex_);
  count_call();
  real_->read(*Cover::real(buffer), offset, bytes);
}

const gpu::Kernel& DisguisedDevice::kernel(const KernelKey& key) {
  const std::lock_guard lock(mutex_);
  count_call();
  const uint32_t group = value_of(key.constants, "GROUP").value_or(0);
  insist(group >= 1 && group <= info_.largest_group, key.name, ": groups of ", group);
  insist(info_.subgroup_sums || value_of(key.defines, "SUBGROUPS").value_or(0) == 0, key.name, ": SUBGROUPS");
  insist(info_.dot_product == (value_of(key.defines, "DOT").value_or(info_.dot_product) != 0), key.name,
         ": DOT");
  insist(value_of(key.defines, "ROWS").value_or(1) <= info_.most_rows, key.name, ": ROWS");
  auto made = std::make_unique<Kernel>();
  made->key = key;
  made->real = &real_->kernel(key);
  return *kernels_.emplace_back(std::move(made));
}

void DisguisedDevice::check(const Command& command) {
  const bool copies = command.kernel == nullptr;
  const std::string name = copies ? "copy" : static_cast<const Kernel&>(*command.kernel).key.name;
  for (uint32_t i = 0; i < command.binding_count; ++i) {
    const Binding& binding = command.bindings[i];
    const auto where = cat(name, ", binding ", i, ": ", binding.size, " bytes at ", binding.offset);
    insist(binding.buffer != nullptr && binding.size > 0, where, ": nothing");
    insist(binding.offset + binding.size <= binding.buffer->size(), where, " of ", binding.buffer->size());
    if (copies) continue;
    insist(binding.offset % info_.offset_alignment == 0, where, ": not aligned to ", info_.offset_alignment);
    insist(binding.size <= info_.largest_binding, where, ": at most ", info_.largest_binding);
    if (binding.offset > 0) ++counts_.part_offsets;
  }
  if (copies) insist(command.bindings[0].size == command.bindings[1].size, name, ": sizes differ");
  for (const uint32_t groups : command.groups) insist(groups >= 1 && groups <= 65535, name, ": groups");
}

std::unique_ptr<gpu::Device::Recording> DisguisedDevice::record(std::span<const Command> commands) {
  auto recording = std::make_unique<Commands>();
  for (const Command& command : commands) {
    check(command);
    Command real = command;
    if (command.kernel != nullptr) {
      const auto& kernel = static_cast<const Kernel&>(*command.kernel);
      if (kernel.key.name == left_out_) continue;
      real.kernel = kernel.real;
    }
    for (uint32_t i = 0; i < real.binding_count; ++i) {
      real.bindings[i].buffer = Cover::real(*command.bindings[i].buffer);
    }
    recording->list.push_back(real);
  }
  return recording;
}

void DisguisedDevice::submit(Recording& recording) {
  count_call();
  real_->run(static_cast<Commands&>(recording).list);
}

void DisguisedDevice::wait() {
  const std::lock_guard lock(mutex_);
  count_call();
  real_->wait();
}

}  // namespace rotor::test
