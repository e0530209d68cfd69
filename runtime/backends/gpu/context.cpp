// Commands wait until a result is wanted, so that a token's are one submission.
#include "runtime/backends/gpu/context.h"

#include <algorithm>

#include "rotor/core/error.h"

namespace rotor::runtime::gpu {
namespace {

constexpr size_t kStepWords = size_t{1} << 18;
constexpr size_t kMostWaiting = 4096;  // commands: a long prompt starts before all of it is known

std::span<const uint8_t> bytes_of(std::span<const uint32_t> words) {
  return {reinterpret_cast<const uint8_t*>(words.data()), words.size_bytes()};
}

}  // namespace

Context::Context(Device& device, const Tuning& tuning) : device_(device), tuning_(tuning), weights_(device) {
  step_ = {device.allocate(kStepWords * sizeof(uint32_t), true), 0, kStepWords * sizeof(uint32_t)};
  nothing_ = {device.allocate(256, false), 0, 256};
}

const Kernel& Context::kernel(const char* name, std::initializer_list<KernelKey::Value> defines,
                              uint32_t group, std::initializer_list<KernelKey::Value> constants) {
  std::vector<uint64_t> short_key{reinterpret_cast<uint64_t>(name), group};
  for (const auto* values : {&defines, &constants}) {
    for (const auto& value : *values) short_key.push_back(value.value);
  }
  const Kernel*& known = kernels_[short_key];
  if (known == nullptr) {
    KernelKey key{name, defines, {{"GROUP", group}}};
    key.constants.insert(key.constants.end(), constants);
    known = &device_.kernel(key);
  }
  return *known;
}

void Context::run(const Kernel& kernel, std::initializer_list<Binding> bindings,
                  std::initializer_list<Param> params, std::array<uint64_t, 3> groups) {
  Command& command = waiting_.emplace_back();
  command.kernel = &kernel;
  for (const Binding& binding : bindings) command.bindings.at(command.binding_count++) = binding;
  for (const Param& param : params) command.params.at(command.param_count++) = param.word;
  for (size_t i = 0; i < 3; ++i) {
    command.groups[i] = static_cast<uint32_t>(groups[i]);
  }
}

void Context::copy(const Binding& from, const Binding& to) {
  Command& command = waiting_.emplace_back();
  command.bindings[0] = from;
  command.bindings[1] = to;
  command.binding_count = 2;
}

void Context::flush() {
  if (waiting_.empty()) return;
  // What fails is not tried again with the next op.
  std::vector<Command> commands;
  std::vector<uint32_t> words;
  commands.swap(waiting_);
  words.swap(step_words_);
  if (!words.empty()) device_.write(*step_.buffer, 0, bytes_of(words));
  device_.run(commands);
  commands.swap(running_);
  commands.clear();
  words.clear();
  waiting_.swap(commands);  // their memory serves again
  step_words_.swap(words);
}

void Context::write(const Binding& to, std::span<const uint8_t> bytes) {
  flush();
  device_.write(*to.buffer, to.offset, bytes);
}

void Context::read(const Binding& from, std::span<uint8_t> bytes) {
  flush();
  device_.read(*from.buffer, from.offset, bytes);
  running_.clear();
}

uint32_t Context::put(std::span<const uint32_t> words) {
  if (words.size() > kStepWords)
    fail(info().name, ": ", words.size(), " tokens at once: at most ", kStepWords);
  if (step_words_.size() + words.size() > kStepWords || waiting_.size() > kMostWaiting) flush();
  const auto first = static_cast<uint32_t>(step_words_.size());
  step_words_.insert(step_words_.end(), words.begin(), words.end());
  return first;
}

uint32_t Context::put(int64_t word) {
  const auto narrow = static_cast<uint32_t>(word);
  return put({&narrow, 1});
}

Binding Context::grown(Binding& binding, uint64_t bytes, bool host) {
  if (binding.buffer == nullptr || binding.size < bytes) {
    const uint64_t size = std::bit_ceil(std::max<uint64_t>(bytes, 4096));
    binding = {device_.allocate(size, host), 0, size};
  }
  return binding;
}

Binding Context::scratch(Scratch kind, uint64_t bytes) {
  return grown(scratch_[static_cast<size_t>(kind)], bytes, false);
}

Binding Context::results(uint64_t bytes) {
  return grown(results_, bytes, true);
}

Binding Context::floats(std::span<const float> values) {
  if (values.empty()) return nothing_;
  return weights_.find_whole({reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()});
}

void Context::run_plain(const char* name, std::initializer_list<Binding> bindings,
                        std::initializer_list<Param> params, uint64_t count) {
  const uint32_t group = tuning_.plain_group;
  run(kernel(name, {}, group), bindings, params, {std::min(ceil_div(count, group), kMostGroups), 1, 1});
}

Binding Context::whole(const Tensor& tensor) {
  return rows(tensor, 0, tensor.rows);
}

Binding Context::rows(const Tensor& tensor, int64_t first, int64_t count) {
  const auto row_bytes = static_cast<uint64_t>(tensor.cols) * sizeof(float);
  const auto& memory = *static_cast<const TensorMemory*>(tensor.storage.get());
  return {memory.buffer, static_cast<uint64_t>(first) * row_bytes, static_cast<uint64_t>(count) * row_bytes};
}

}  // namespace rotor::runtime::gpu
