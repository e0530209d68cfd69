// What a graphics API must give: memory, kernels, and lists of commands that run one after another. All ops
// are written on this, once (gpu_backend.h); opencl/ and vulkan/ implement it.
#pragma once

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

namespace rotor::runtime::gpu {

enum class DeviceType { discrete, integrated, cpu, other };
/// "discrete GPU", "integrated GPU", "CPU", "other".
const char* name(DeviceType type);

struct DeviceInfo {
  std::string name;
  std::string driver;  ///< name and version
  DeviceType type = DeviceType::other;
  uint64_t memory = 0;                ///< bytes
  uint64_t largest_buffer = 0;        ///< bytes of one allocation
  uint64_t largest_binding = 0;       ///< bytes of a buffer that a kernel sees
  uint64_t offset_alignment = 1;      ///< of bindings, bytes; a power of two
  uint32_t largest_group = 64;        ///< work items of a group
  uint32_t local_memory = 0;          ///< bytes a group
  uint32_t subgroup = 0;              ///< work items that run in lockstep; 0: unknown
  bool unified_memory = false;        ///< the device reads the machine's memory as fast as its own
  bool dot_product = false;           ///< four int8 products in one instruction
  bool subgroup_sums = false;         ///< sums over a subgroup without local memory
  uint32_t most_rows = 4;             ///< widest vector that kernels may compute with: 4, or 16
  std::vector<std::string> features;  ///< what was found and is used, for people
};

/// Memory that a device can use. It must go before its device does.
class Buffer {
 public:
  explicit Buffer(uint64_t size);
  virtual ~Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  uint64_t size() const { return size_; }
  uint64_t id() const { return id_; }  ///< of no other buffer, ever

 private:
  uint64_t size_;
  uint64_t id_;
};

/// Part of a buffer. The offset is a multiple of the device's offset_alignment.
struct Binding {
  std::shared_ptr<Buffer> buffer;
  uint64_t offset = 0;
  uint64_t size = 0;
};

/// What a kernel is compiled with: a value for each name that its source leaves open. `defines` choose
/// between sources that exist from the build on, `constants` are set when it is compiled for the device.
struct KernelKey {
  struct Value {
    const char* name;  ///< a literal
    uint32_t value;
    bool operator==(const Value&) const = default;
  };
  std::string name;              ///< of the file kernels/NAME.comp
  std::vector<Value> defines;    ///< in the order of the build's list
  std::vector<Value> constants;  ///< in the order of their numbers; the first is GROUP, work items of a group
};

class Kernel {
 public:
  virtual ~Kernel() = default;
};

/// A kernel with its arguments, or a copy of bytes between two bindings of one size.
struct Command {
  static constexpr size_t kBindings = 8;
  static constexpr size_t kParams = 16;  ///< words

  const Kernel* kernel = nullptr;  ///< nullptr: copies bindings[0] to bindings[1]
  std::array<Binding, kBindings> bindings;
  uint32_t binding_count = 0;
  std::array<uint32_t, kParams> params{};
  uint32_t param_count = 0;
  std::array<uint32_t, 3> groups{1, 1, 1};
};

/// A device that is open. Calls may come from several threads; they take turns.
class Device {
 public:
  virtual ~Device() = default;

  const DeviceInfo& info() const { return info_; }
  /// Bytes that can still be allocated, as far as the driver says.
  virtual uint64_t free_memory() = 0;

  /// Memory of the device, zeros at first; `host`: memory of the machine that the device sees, for data that
  /// goes to and fro. Throws Error if there is none, DeviceLost if the device is gone.
  virtual std::shared_ptr<Buffer> allocate(uint64_t size, bool host) = 0;
  /// The machine's memory as a buffer, which only reads it, without a copy; it must outlive the buffer.
  /// Begins at a multiple of 4096 bytes and ends with a page. nullptr if this device cannot do that.
  virtual std::shared_ptr<Buffer> import(std::span<const uint8_t> bytes) = 0;

  /// Copies bytes into a buffer and out of one; returns when that is done, and whatever was run before.
  /// Throws Error for bytes that are not the buffer's.
  virtual void write(Buffer& buffer, uint64_t offset, std::span<const uint8_t> bytes) = 0;
  virtual void read(Buffer& buffer, uint64_t offset, std::span<uint8_t> bytes) = 0;

  /// Compiled when it is asked for the first time; lives as long as the device. Throws Error naming it.
  virtual const Kernel& kernel(const KernelKey& key) = 0;

  /// Runs commands one after another, each of which sees what those before it wrote, in one submission; may
  /// return before they are done. A list that was run before is not recorded again: what changes from one run
  /// to the next belongs into a buffer. Throws DeviceLost.
  void run(std::span<const Command> commands);
  /// Returns when all that was run is done.
  virtual void wait() = 0;

  /// How many lists were recorded, and run.
  struct Statistics {
    uint64_t recorded = 0;
    uint64_t submitted = 0;
    uint64_t commands = 0;
  };
  Statistics statistics() const;

 protected:
  /// Commands in the form that the API wants to be given.
  class Recording {
   public:
    virtual ~Recording() = default;
  };
  virtual std::unique_ptr<Recording> record(std::span<const Command> commands) = 0;
  virtual void submit(Recording& recording) = 0;
  /// Throws Error if so many bytes from `offset` on are not the buffer's.
  void check_range(const Buffer& buffer, uint64_t offset, uint64_t size) const;
  /// To be called when a buffer goes: drops the recordings that use it, when they are done.
  void forget(uint64_t buffer_id);
  /// To be called before the device goes, for what recordings hold of it.
  void forget_all();

  DeviceInfo info_;
  mutable std::recursive_mutex mutex_;  ///< held by every call

 private:
  struct Known {
    std::vector<uint64_t> key;  // all that makes a list what it is
    std::vector<uint64_t> buffers;
    std::unique_ptr<Recording> recording;
  };
  std::list<Known> known_;  // the latest first
  Statistics statistics_;
};

/// An API that is loaded when it is first asked for.
struct Driver {
  const char* name;  ///< "opencl"
  /// The devices that are there now; none if the API is not on this machine. Throws Error only for what is
  /// broken on the way.
  std::vector<DeviceInfo> (*list)();
  /// Opens list()[index].
  std::unique_ptr<Device> (*open)(size_t index);
};

/// The drivers that this program was built with, in order of preference.
std::span<const Driver> drivers();

}  // namespace rotor::runtime::gpu
