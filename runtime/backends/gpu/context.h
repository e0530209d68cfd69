// What all ops of a GPU share: the commands that were not run yet, memory for what lies between them, the
// weights, and how kernels are shaped for this device.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/backends/backend.h"
#include "runtime/backends/gpu/device.h"
#include "runtime/backends/gpu/tuning.h"
#include "runtime/backends/gpu/weight_store.h"

namespace rotor::runtime::gpu {

constexpr uint64_t ceil_div(uint64_t a, uint64_t b) {
  return (a + b - 1) / b;
}

/// Groups of work items that every device can be given at once, in each direction; kernels whose items go
/// on with what lies `groups` further need no more.
inline constexpr uint64_t kMostGroups = 32768;

/// A word that a kernel is given.
struct Param {
  uint32_t word;
  Param(uint32_t value) : word(value) {}
  Param(int64_t value) : word(static_cast<uint32_t>(value)) {}
  Param(uint64_t value) : word(static_cast<uint32_t>(value)) {}
  Param(bool value) : word(value ? 1 : 0) {}
  Param(float value) : word(std::bit_cast<uint32_t>(value)) {}
};

/// A Tensor's storage.
struct TensorMemory {
  std::shared_ptr<Buffer> buffer;
};

/// Memory between two kernels of an op; what is in it does not outlast the op.
enum class Scratch { normed, codes, code_scales, code_sums, planes, attention, chunks, found, kinds };

class Context {
 public:
  Context(Device& device, const Tuning& tuning);

  Device& device() { return device_; }
  const DeviceInfo& info() const { return device_.info(); }
  WeightStore& weights() { return weights_; }
  const Tuning& tuning() const { return tuning_; }
  void set_tuning(const Tuning& tuning) { tuning_ = tuning; }

  /// A kernel of this name, defines and constants; `group` is the constant GROUP. `name` is a literal.
  const Kernel& kernel(const char* name, std::initializer_list<KernelKey::Value> defines, uint32_t group,
                       std::initializer_list<KernelKey::Value> constants = {});

  /// Adds a command behind those that wait.
  void run(const Kernel& kernel, std::initializer_list<Binding> bindings, std::initializer_list<Param> params,
           std::array<uint64_t, 3> groups);
  void copy(const Binding& from, const Binding& to);
  /// Runs what waits.
  void flush();
  /// Copies bytes to and from a buffer behind all commands so far; both return when that is done.
  void write(const Binding& to, std::span<const uint8_t> bytes);
  void read(const Binding& from, std::span<uint8_t> bytes);

  /// Puts words where kernels find them when they run, in the buffer step(): what changes from one run of a
  /// list of commands to the next. Returns the first one's place.
  uint32_t put(std::span<const uint32_t> words);
  uint32_t put(int64_t word);
  const Binding& step() const { return step_; }

  /// At least `bytes` of scratch memory.
  Binding scratch(Scratch kind, uint64_t bytes);
  /// Bytes that a command writes and the host reads afterwards.
  Binding results(uint64_t bytes);
  /// A buffer for a kernel's argument that it does not use.
  const Binding& nothing() const { return nothing_; }

  /// Numbers of the model; nothing() for none.
  Binding floats(std::span<const float> values);
  /// A kernel whose work items compute a value each, in groups of tuning().plain_group, over `count` values.
  void run_plain(const char* name, std::initializer_list<Binding> bindings, std::initializer_list<Param> params,
                 uint64_t count);

  static Binding whole(const Tensor& tensor);
  static Binding rows(const Tensor& tensor, int64_t first, int64_t count);

 private:
  Binding grown(Binding& binding, uint64_t bytes, bool host);

  Device& device_;
  Tuning tuning_;
  WeightStore weights_;
  std::map<std::vector<uint64_t>, const Kernel*> kernels_;
  std::vector<Command> waiting_;
  std::vector<Command> running_;  // their buffers must live until they are done
  std::vector<uint32_t> step_words_;
  Binding step_;
  Binding nothing_;
  Binding results_;
  std::array<Binding, static_cast<size_t>(Scratch::kinds)> scratch_;
};

}  // namespace rotor::runtime::gpu
