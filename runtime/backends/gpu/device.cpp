// Lists of commands that were run lately are kept as they were recorded.
#include "runtime/backends/gpu/device.h"

#include <algorithm>
#include <atomic>

#include "rotor/core/error.h"

namespace rotor::runtime::gpu {
namespace {

constexpr size_t kRecordings = 12;

std::vector<uint64_t> key_of(std::span<const Command> commands) {
  std::vector<uint64_t> key;
  key.reserve(commands.size() * 16);
  for (const Command& command : commands) {
    key.push_back(reinterpret_cast<uint64_t>(command.kernel));
    key.push_back(uint64_t{command.binding_count} << 32 | command.param_count);
    for (uint32_t i = 0; i < command.binding_count; ++i) {
      const Binding& binding = command.bindings[i];
      key.insert(key.end(), {binding.buffer->id(), binding.offset, binding.size});
    }
    key.insert(key.end(), command.params.begin(), command.params.begin() + command.param_count);
    key.insert(key.end(), command.groups.begin(), command.groups.end());
  }
  return key;
}

std::vector<uint64_t> buffers_of(std::span<const Command> commands) {
  std::vector<uint64_t> ids;
  for (const Command& command : commands) {
    for (uint32_t i = 0; i < command.binding_count; ++i) ids.push_back(command.bindings[i].buffer->id());
  }
  std::ranges::sort(ids);
  ids.erase(std::ranges::unique(ids).begin(), ids.end());
  return ids;
}

}  // namespace

const char* name(DeviceType type) {
  switch (type) {
    case DeviceType::discrete:
      return "discrete GPU";
    case DeviceType::integrated:
      return "integrated GPU";
    case DeviceType::cpu:
      return "CPU";
    case DeviceType::other:
      return "other";
  }
  return "other";
}

Buffer::Buffer(uint64_t size) : size_(size) {
  static std::atomic<uint64_t> next = 1;
  id_ = next++;
}

void Device::run(std::span<const Command> commands) {
  if (commands.empty()) return;
  const std::lock_guard lock(mutex_);
  const std::vector<uint64_t> key = key_of(commands);
  auto known = std::ranges::find(known_, key, &Known::key);
  if (known == known_.end()) {
    if (known_.size() >= kRecordings) {
      wait();
      known_.pop_back();
    }
    known_.push_front({key, buffers_of(commands), record(commands)});
    ++statistics_.recorded;
  } else {
    known_.splice(known_.begin(), known_, known);
  }
  submit(*known_.front().recording);
  ++statistics_.submitted;
  statistics_.commands += commands.size();
}

Device::Statistics Device::statistics() const {
  const std::lock_guard lock(mutex_);
  return statistics_;
}

void Device::check_range(const Buffer& buffer, uint64_t offset, uint64_t size) const {
  if (offset <= buffer.size() && size <= buffer.size() - offset) return;
  fail(info_.name, ": expected bytes of a buffer of ", buffer.size(), ", found ", size, " from ", offset,
       " on");
}

void Device::forget(uint64_t buffer_id) {
  const std::lock_guard lock(mutex_);
  const auto uses = [&](const Known& known) { return std::ranges::binary_search(known.buffers, buffer_id); };
  if (std::ranges::any_of(known_, uses)) known_.remove_if(uses);
}

void Device::forget_all() {
  const std::lock_guard lock(mutex_);
  known_.clear();
}

}  // namespace rotor::runtime::gpu
