// A GPU device that passes for another one: it shows limits of the test's choice and insists on them, counts
// what it is asked, can compute wrongly, and can be lost at any call. The real device behind it computes.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "runtime/backends/gpu/device.h"

namespace rotor::test {

class DisguisedDevice final : public runtime::gpu::Device {
 public:
  using Change = std::function<void(runtime::gpu::DeviceInfo&)>;

  /// Disguises may share a device, and what it has compiled. `change` is made to what the real device shows.
  /// Whatever asks for more than is shown then, or for what is not there, gets std::logic_error.
  explicit DisguisedDevice(std::shared_ptr<Device> real, const Change& change = {});
  ~DisguisedDevice() override;

  /// Commands with this kernel do nothing.
  void leave_out(const std::string& kernel) { left_out_ = kernel; }
  /// From the `call`th call on (0: the first), everything throws DeviceLost; none: nothing does.
  void lose_at(std::optional<int64_t> call) { lose_at_ = call; }
  /// What is free for buffers, of those bytes; none: what the real device says.
  void set_memory(std::optional<uint64_t> bytes) { memory_ = bytes; }

  struct Counts {
    int64_t calls = 0;         ///< that could have thrown DeviceLost
    int64_t imports = 0;       ///< that succeeded
    int64_t buffers = 0;       ///< that live now
    uint64_t bytes = 0;        ///< of those that were allocated and live now
    uint64_t bytes_to = 0;     ///< that were written
    int64_t part_offsets = 0;  ///< of kernels' bindings that do not begin a buffer
  };
  const Counts& counts() const { return counts_; }

  uint64_t free_memory() override;
  std::shared_ptr<runtime::gpu::Buffer> allocate(uint64_t size, bool host) override;
  std::shared_ptr<runtime::gpu::Buffer> import(std::span<const uint8_t> bytes) override;
  void write(runtime::gpu::Buffer& buffer, uint64_t offset, std::span<const uint8_t> bytes) override;
  void read(runtime::gpu::Buffer& buffer, uint64_t offset, std::span<uint8_t> bytes) override;
  const runtime::gpu::Kernel& kernel(const runtime::gpu::KernelKey& key) override;
  void wait() override;

 private:
  class Cover;  // of a real buffer
  struct Kernel;
  struct Commands;

  std::unique_ptr<Recording> record(std::span<const runtime::gpu::Command> commands) override;
  void submit(Recording& recording) override;
  void count_call();
  void check(const runtime::gpu::Command& command);
  std::shared_ptr<runtime::gpu::Buffer> covered(std::shared_ptr<runtime::gpu::Buffer> real, bool ours);

  std::shared_ptr<Device> real_;
  std::list<std::unique_ptr<Kernel>> kernels_;
  std::string left_out_;
  std::optional<int64_t> lose_at_;
  std::optional<uint64_t> memory_;
  Counts counts_;
};

}  // namespace rotor::test
