// One context and one queue, which runs commands in the order in which they were given.
#include "runtime/backends/opencl/opencl_device.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <sstream>

#include "rotor/core/error.h"
#include "runtime/backends/backend.h"
#include "runtime/backends/opencl/opencl_library.h"
#include "runtime/backends/opencl/opencl_sources.h"

namespace rotor::runtime {
namespace {

using gpu::Binding;
using gpu::Command;
using gpu::DeviceInfo;
using gpu::DeviceType;
using gpu::KernelKey;

struct Found {
  cl::Device device;
  DeviceInfo info;
  std::string language;  ///< "CL1.2"
};

std::set<std::string> words(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

/// Values as drivers write them end with a zero or a blank now and then.
std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\0' || text.back() == ' ')) text.pop_back();
  return text;
}

bool fast_dot_product(const cl::Device& device, const std::set<std::string>& extensions) {
#ifdef CL_DEVICE_INTEGER_DOT_PRODUCT_ACCELERATION_PROPERTIES_4x8BIT_PACKED_KHR
  if (!extensions.contains("cl_khr_integer_dot_product")) return false;
  cl_device_integer_dot_product_acceleration_properties_khr found{};
  const cl_int status =
      clGetDeviceInfo(device(), CL_DEVICE_INTEGER_DOT_PRODUCT_ACCELERATION_PROPERTIES_4x8BIT_PACKED_KHR,
                      sizeof found, &found, nullptr);
  return status == CL_SUCCESS && found.signed_accelerated != CL_FALSE;
#else
  (void)device, (void)extensions;
  return false;
#endif
}

/// The newest OpenCL C of a device, as a compiler is told. A device of version 3.0 that has it still calls
/// itself 1.2, since that is what it is compatible with.
std::string newest_language(const cl::Device& device) {
#ifdef CL_DEVICE_OPENCL_C_ALL_VERSIONS
  size_t bytes = 0;
  if (clGetDeviceInfo(device(), CL_DEVICE_OPENCL_C_ALL_VERSIONS, 0, nullptr, &bytes) == CL_SUCCESS) {
    std::vector<cl_name_version> all(bytes / sizeof(cl_name_version));
    clGetDeviceInfo(device(), CL_DEVICE_OPENCL_C_ALL_VERSIONS, bytes, all.data(), nullptr);
    const auto is_new = [](const cl_name_version& one) { return CL_VERSION_MAJOR(one.version) >= 3; };
    if (std::ranges::any_of(all, is_new)) return "CL3.0";
  }
#endif
  return device.getInfo<CL_DEVICE_OPENCL_C_VERSION>().starts_with("OpenCL C 2.") ? "CL2.0" : "CL1.2";
}

Found describe(const cl::Device& device) {
  Found found{device, {}, "CL1.2"};
  DeviceInfo& info = found.info;
  info.name = trimmed(device.getInfo<CL_DEVICE_NAME>());
  const cl::Platform platform(device.getInfo<CL_DEVICE_PLATFORM>());
  info.driver =
      trimmed(platform.getInfo<CL_PLATFORM_NAME>()) + " " + trimmed(device.getInfo<CL_DRIVER_VERSION>());
  const auto type = device.getInfo<CL_DEVICE_TYPE>();
  info.unified_memory = device.getInfo<CL_DEVICE_HOST_UNIFIED_MEMORY>() != CL_FALSE;
  info.type = (type & CL_DEVICE_TYPE_CPU) != 0   ? DeviceType::cpu
              : (type & CL_DEVICE_TYPE_GPU) == 0 ? DeviceType::other
              : info.unified_memory              ? DeviceType::integrated
                                                 : DeviceType::discrete;
  info.memory = device.getInfo<CL_DEVICE_GLOBAL_MEM_SIZE>();
  info.largest_buffer = device.getInfo<CL_DEVICE_MAX_MEM_ALLOC_SIZE>();
  info.largest_binding = info.largest_buffer;
  info.offset_alignment = std::max<uint64_t>(device.getInfo<CL_DEVICE_MEM_BASE_ADDR_ALIGN>() / 8, 1);
  info.largest_group = static_cast<uint32_t>(std::min(device.getInfo<CL_DEVICE_MAX_WORK_GROUP_SIZE>(),
                                                      device.getInfo<CL_DEVICE_MAX_WORK_ITEM_SIZES>()[0]));
  info.local_memory = static_cast<uint32_t>(device.getInfo<CL_DEVICE_LOCAL_MEM_SIZE>());
  info.most_rows = info.type == DeviceType::cpu ? 16 : 4;
  const auto extensions = words(device.getInfo<CL_DEVICE_EXTENSIONS>());
  // Both came after OpenCL C 1.2, and there are compilers that do not know them under that name.
  const std::string newest = newest_language(device);
  info.dot_product = newest != found.language && fast_dot_product(device, extensions);
  info.subgroup_sums = newest != found.language && extensions.contains("cl_khr_subgroups");
  if (info.dot_product || info.subgroup_sums) found.language = newest;
  info.features.push_back(trimmed(device.getInfo<CL_DEVICE_VERSION>()));
  if (info.dot_product) info.features.emplace_back("integer dot product");
  if (info.subgroup_sums) info.features.emplace_back("subgroup sums");
  if (info.unified_memory) info.features.emplace_back("host memory import");
  return found;
}

std::vector<Found> find_devices() {
  std::vector<Found> found;
  if (!opencl_is_here()) return found;
  std::vector<cl::Platform> platforms;
  try {
    cl::Platform::get(&platforms);
  } catch (const cl::Error&) {
    return found;  // a loader without drivers
  }
  for (const cl::Platform& platform : platforms) {
    std::vector<cl::Device> devices;
    try {
      platform.getDevices(CL_DEVICE_TYPE_ALL, &devices);
    } catch (const cl::Error&) {
      continue;  // a driver without devices
    }
    for (const cl::Device& device : devices) {
      if (device.getInfo<CL_DEVICE_AVAILABLE>() == CL_FALSE) continue;
      if (device.getInfo<CL_DEVICE_COMPILER_AVAILABLE>() == CL_FALSE) continue;
      if (device.getInfo<CL_DEVICE_ENDIAN_LITTLE>() == CL_FALSE) continue;
      found.push_back(describe(device));
    }
  }
  return found;
}

class OpenClDevice;

class OpenClBuffer final : public gpu::Buffer {
 public:
  OpenClBuffer(OpenClDevice& device, cl::Buffer memory, uint64_t size, bool ours)
      : Buffer(size), memory_(std::move(memory)), device_(device), ours_(ours) {}
  ~OpenClBuffer() override;
  OpenClBuffer(const OpenClBuffer&) = delete;
  OpenClBuffer& operator=(const OpenClBuffer&) = delete;
  const cl::Buffer& memory() const { return memory_; }

 private:
  cl::Buffer memory_;
  OpenClDevice& device_;
  bool ours_;  // the device's memory, not imported
};

const OpenClBuffer& opencl(const gpu::Buffer& buffer) {
  return static_cast<const OpenClBuffer&>(buffer);
}

struct OpenClKernel final : gpu::Kernel {
  cl::Program program;
  std::string name;
  size_t group = 1;
};

class OpenClDevice final : public gpu::Device {
 public:
  explicit OpenClDevice(const Found& found) : device_(found.device), language_(found.language) {
    info_ = found.info;
    attempt([&] {
      context_ = cl::Context(device_);
      queue_ = cl::CommandQueue(context_, device_);
    });
  }

  ~OpenClDevice() override {
    finish_quietly();
    forget_all();
  }
  OpenClDevice(const OpenClDevice&) = delete;
  OpenClDevice& operator=(const OpenClDevice&) = delete;

  uint64_t free_memory() override {
    const std::lock_guard lock(mutex_);
    return info_.memory - std::min(info_.memory, allocated_);
  }

  std::shared_ptr<gpu::Buffer> allocate(uint64_t size, bool host) override {
    const std::lock_guard lock(mutex_);
    check_lost();
    if (size > free_memory() || size > info_.largest_buffer) no_room(size);
    std::shared_ptr<gpu::Buffer> buffer;
    try {
      const cl_mem_flags flags = CL_MEM_READ_WRITE | (host ? CL_MEM_ALLOC_HOST_PTR : 0);
      const size_t bytes = std::max<size_t>(size, 1);
      const cl::Buffer memory(context_, flags, bytes);
      queue_.enqueueFillBuffer(memory, cl_uchar{0}, 0, bytes);
      buffer = std::make_shared<OpenClBuffer>(*this, memory, size, true);
    } catch (const cl::Error& e) {
      if (e.err() == CL_MEM_OBJECT_ALLOCATION_FAILURE || e.err() == CL_OUT_OF_HOST_MEMORY ||
          e.err() == CL_INVALID_BUFFER_SIZE || e.err() == CL_OUT_OF_RESOURCES) {
        no_room(size);
      }
      lose(e);
    }
    allocated_ += size;
    return buffer;
  }

  std::shared_ptr<gpu::Buffer> import(std::span<const uint8_t> bytes) override {
    const std::lock_guard lock(mutex_);
    check_lost();
    if (!info_.unified_memory || bytes.size() > info_.largest_buffer) return nullptr;
    try {
      const cl::Buffer memory(context_, CL_MEM_READ_ONLY | CL_MEM_USE_HOST_PTR, bytes.size(),
                              const_cast<uint8_t*>(bytes.data()));
      return std::make_shared<OpenClBuffer>(*this, memory, bytes.size(), false);
    } catch (const cl::Error&) {
      return nullptr;
    }
  }

  void write(gpu::Buffer& buffer, uint64_t offset, std::span<const uint8_t> bytes) override {
    const std::lock_guard lock(mutex_);
    check_range(buffer, offset, bytes.size());
    if (bytes.empty()) return wait();
    attempt([&] {
      queue_.enqueueWriteBuffer(opencl(buffer).memory(), CL_TRUE, offset, bytes.size(), bytes.data());
    });
  }

  void read(gpu::Buffer& buffer, uint64_t offset, std::span<uint8_t> bytes) override {
    const std::lock_guard lock(mutex_);
    check_range(buffer, offset, bytes.size());
    if (bytes.empty()) return wait();
    attempt([&] {
      queue_.enqueueReadBuffer(opencl(buffer).memory(), CL_TRUE, offset, bytes.size(), bytes.data());
    });
  }

  const gpu::Kernel& kernel(const KernelKey& key) override {
    const std::lock_guard lock(mutex_);
    check_lost();
    std::string options = "-cl-std=" + language_;
    for (const auto* values : {&key.defines, &key.constants}) {
      for (const auto& [name, value] : *values) options += cat(" -D", name, "=", value);
    }
    auto& known = kernels_[key.name + " " + options];
    if (known == nullptr) known = compile(key, options);
    return *known;
  }

  void wait() override {
    const std::lock_guard lock(mutex_);
    attempt([&] { queue_.finish(); });
  }

  /// Of a buffer that goes. The driver keeps its own memory for as long as commands use it; what was imported
  /// goes now.
  void release(const gpu::Buffer& buffer, bool ours) noexcept {
    const std::lock_guard lock(mutex_);
    if (!ours) finish_quietly();
    forget(buffer.id());
    if (ours) allocated_ -= buffer.size();
  }

 private:
  /// A command in OpenCL's terms: a kernel object of its own with its arguments, or a copy.
  struct Step {
    cl::Kernel kernel;
    std::vector<cl::Buffer> buffers;
    cl::NDRange items, group;
    Binding from, to;
  };
  struct OpenClRecording final : Recording {
    std::vector<Step> steps;
  };

  std::unique_ptr<Recording> record(std::span<const Command> commands) override {
    auto recording = std::make_unique<OpenClRecording>();
    attempt([&] {
      for (const Command& command : commands) {
        recording->steps.push_back(command.kernel == nullptr ? copy_step(command) : kernel_step(command));
      }
    });
    return recording;
  }

  void submit(Recording& recording) override {
    attempt([&] {
      for (const Step& step : static_cast<OpenClRecording&>(recording).steps) {
        if (step.kernel() != nullptr) {
          queue_.enqueueNDRangeKernel(step.kernel, cl::NullRange, step.items, step.group);
        } else {
          queue_.enqueueCopyBuffer(step.buffers[0], step.buffers[1], step.from.offset, step.to.offset,
                                   step.from.size);
        }
      }
      queue_.flush();
    });
  }

  static Step copy_step(const Command& command) {
    Step step;
    step.from = {nullptr, command.bindings[0].offset, command.bindings[0].size};
    step.to = {nullptr, command.bindings[1].offset, command.bindings[1].size};
    for (size_t i = 0; i < 2; ++i) step.buffers.push_back(opencl(*command.bindings[i].buffer).memory());
    return step;
  }

  static Step kernel_step(const Command& command) {
    const auto& kernel = static_cast<const OpenClKernel&>(*command.kernel);
    Step step;
    step.kernel = cl::Kernel(kernel.program, kernel.name.c_str());
    for (uint32_t i = 0; i < command.binding_count; ++i) {
      step.buffers.push_back(part_of(command.bindings[i]));
      step.kernel.setArg(i, step.buffers.back());
    }
    step.kernel.setArg(command.binding_count, command.param_count * sizeof(uint32_t), command.params.data());
    const auto& groups = command.groups;
    step.group = {kernel.group, 1, 1};
    step.items = {groups[0] * kernel.group, groups[1], groups[2]};
    return step;
  }

  static cl::Buffer part_of(const Binding& binding) {
    const OpenClBuffer& buffer = opencl(*binding.buffer);
    if (binding.offset == 0) return buffer.memory();
    const cl_buffer_region region{binding.offset, binding.size};
    return cl::Buffer(buffer.memory()).createSubBuffer(0, CL_BUFFER_CREATE_TYPE_REGION, &region);
  }

  std::unique_ptr<OpenClKernel> compile(const KernelKey& key, const std::string& options) {
    const auto sources = gpu::opencl_sources();
    const auto source = std::ranges::find(sources, key.name, &gpu::KernelSource::name);
    if (source == sources.end()) fail("opencl: no kernel \"", key.name, "\" was built in");
    auto kernel = std::make_unique<OpenClKernel>();
    kernel->name = key.name;
    if (key.constants.empty()) {
      fail("opencl: ", info_.name, ": kernel \"", key.name, "\": expected the constant GROUP, found none");
    }
    kernel->group = key.constants.front().value;
    if (kernel->group > info_.largest_group) {
      fail("opencl: ", info_.name, ": kernel \"", key.name, "\" (", options,
           "): expected a group of at most ", info_.largest_group, " work items");
    }
    try {
      kernel->program = cl::Program(context_, std::string(source->text));
      kernel->program.build(device_, options.c_str());
    } catch (const cl::BuildError& e) {
      std::string log;
      for (const auto& [device, text] : e.getBuildLog()) log += text;
      fail("opencl: ", info_.name, ": kernel \"", key.name, "\" (", options, ") does not compile: ", log);
    } catch (const cl::Error& e) {
      lose(e);
    }
    return kernel;
  }

  void finish_quietly() noexcept {
    try {
      if (!lost_) queue_.finish();
    } catch (const cl::Error&) {
      lost_ = true;  // whoever calls next is told
    }
  }

  void check_lost() const {
    if (lost_) throw DeviceLost(cat("opencl: ", info_.name, ": the device is lost"));
  }

  [[noreturn]] void lose(const cl::Error& e) {
    lost_ = true;
    throw DeviceLost(
        cat("opencl: ", info_.name, ": ", e.what(), " failed with code ", e.err(), ": the device is lost"));
  }

  [[noreturn]] void no_room(uint64_t size) {
    fail("opencl: ", info_.name, ": no room for ", size, " bytes: ", free_memory(),
         " are free, a buffer holds at most ", info_.largest_buffer);
  }

  void attempt(const auto& work) {
    check_lost();
    try {
      work();
    } catch (const cl::Error& e) {
      lose(e);
    }
  }

  cl::Device device_;
  std::string language_;
  cl::Context context_;
  cl::CommandQueue queue_;
  std::map<std::string, std::unique_ptr<OpenClKernel>> kernels_;
  uint64_t allocated_ = 0;
  bool lost_ = false;
};

OpenClBuffer::~OpenClBuffer() {
  device_.release(*this, ours_);
}

std::vector<DeviceInfo> list() {
  std::vector<DeviceInfo> infos;
  for (const Found& found : find_devices()) infos.push_back(found.info);
  return infos;
}

std::unique_ptr<gpu::Device> open(size_t index) {
  const std::vector<Found> found = find_devices();
  if (index >= found.size()) fail("opencl: expected one of ", found.size(), " devices, found number ", index);
  return std::make_unique<OpenClDevice>(found[index]);
}

}  // namespace

const gpu::Driver kOpenClDriver = {"opencl", list, open};

}  // namespace rotor::runtime
