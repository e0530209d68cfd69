// What every GPU driver promises (runtime/backends/gpu/device.h), on all devices of all drivers of this
// build. Tests of a driver fail where it finds no device.
#include "runtime/backends/gpu/device.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <thread>

#include "rotor/core/error.h"
#include "runtime/backends/opencl/opencl_device.h"
#include "runtime/backends/vulkan/vulkan_device.h"
#include "tests/support/environment.h"
#include "tests/support/gpu_backends.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime::gpu {
namespace {

using test::Random;
using test::Variable;

/// Vulkan where the processor does not see the device's memory: what goes there is staged.
template <class Work>
auto behind_a_bus(const Work& work) {
  const Variable path("VK_ADD_LAYER_PATH", ROTOR_FAULT_LAYER_DIR);
  const Variable layers("VK_INSTANCE_LAYERS", "VK_LAYER_ROTOR_faults");
  const Variable uncached("ROTOR_FAULT_UNCACHED", "1");
  return work();
}
const Driver kStagedVulkan{
    "vulkan_staged", [] { return behind_a_bus([] { return kVulkanDriver.list(); }); },
    [](size_t index) { return behind_a_bus([=] { return kVulkanDriver.open(index); }); }};

const Driver kDrivers[] = {kVulkanDriver, kStagedVulkan, kOpenClDriver};

std::vector<uint8_t> random_bytes(Random& random, size_t size) {
  std::vector<uint8_t> bytes(size);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random.integer(0, 255));
  return bytes;
}

std::span<const uint8_t> as_bytes(const std::vector<float>& values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(float)};
}

std::vector<uint8_t> read(Device& device, Buffer& buffer, uint64_t offset, size_t size) {
  std::vector<uint8_t> bytes(size, 0xEE);
  device.read(buffer, offset, bytes);
  return bytes;
}

std::shared_ptr<Buffer> buffer_of(Device& device, const std::vector<float>& values, bool host = false) {
  auto buffer = device.allocate(values.size() * sizeof(float), host);
  device.write(*buffer, 0, as_bytes(values));
  return buffer;
}

std::vector<float> floats_of(Device& device, Buffer& buffer) {
  std::vector<float> values(buffer.size() / sizeof(float));
  device.read(buffer, 0, {reinterpret_cast<uint8_t*>(values.data()), buffer.size()});
  return values;
}

Binding all_of(const std::shared_ptr<Buffer>& buffer) {
  return {buffer, 0, buffer->size()};
}

Command copy(const Binding& from, const Binding& to) {
  Command command;
  command.bindings[0] = from;
  command.bindings[1] = to;
  command.binding_count = 2;
  return command;
}

KernelKey rms_norm_key(bool subgroups, uint32_t group) {
  return {"rms_norm", {{"SUBGROUPS", subgroups}}, {{"GROUP", group}}};
}

struct Norm {
  static constexpr float kEps = 1e-5F;
  uint32_t rows, cols;
  std::vector<float> x, gain;

  Norm(Random& random, uint32_t height, uint32_t width)
      : rows(height), cols(width), x(random.normals(size_t{height} * width)), gain(random.normals(width)) {}

  Command command(const Kernel& kernel, const Binding& x_in, const Binding& gain_in, const Binding& y) const {
    Command command;
    command.kernel = &kernel;
    command.bindings = {x_in, gain_in, y};
    command.binding_count = 3;
    command.params[0] = cols;
    std::memcpy(&command.params[1], &kEps, sizeof kEps);
    command.param_count = 2;
    command.groups = {rows, 1, 1};
    return command;
  }

  // The sum has at most cols roundings, and so an error of cols * eps, of which the root halves; then three
  // more operations and an inverse root that GLSL gives 2 units.
  void expect_in(const std::vector<float>& y) const {
    ASSERT_EQ(y.size(), x.size());
    const double tolerance = (cols * 0.5 + 8) * std::numeric_limits<float>::epsilon();
    for (uint32_t row = 0; row < rows; ++row) {
      double sum = 0;
      for (uint32_t i = 0; i < cols; ++i) sum += double{x[row * cols + i]} * x[row * cols + i];
      const double inverse = 1 / std::sqrt(sum / cols + double{kEps});
      for (uint32_t i = 0; i < cols; ++i) {
        const double wanted = x[row * cols + i] * inverse * gain[i];
        ASSERT_NEAR(y[row * cols + i], wanted, std::abs(wanted) * tolerance) << "row " << row << ", " << i;
      }
    }
  }
};

class GpuDeviceTest : public ::testing::TestWithParam<Driver> {
 protected:
  void SetUp() override {
    count_ = GetParam().list().size();
    ASSERT_GT(count_, 0U) << "no device of driver " << GetParam().name;
  }
  /// Each of the driver's devices, freshly opened.
  void for_each_device(const std::function<void(Device&)>& work) const {
    for (size_t i = 0; i < count_; ++i) {
      const std::unique_ptr<Device> device = GetParam().open(i);
      SCOPED_TRACE(device->info().name);
      work(*device);
      device->wait();
    }
  }
  size_t count_ = 0;
};

TEST_P(GpuDeviceTest, IsWhatWasListed) {
  const std::vector<DeviceInfo> infos = GetParam().list();
  for (size_t i = 0; i < infos.size(); ++i) {
    const std::unique_ptr<Device> device = GetParam().open(i);
    const DeviceInfo& info = device->info();
    EXPECT_EQ(info.name, infos[i].name);
    EXPECT_FALSE(info.name.empty());
    EXPECT_FALSE(info.driver.empty());
    EXPECT_GT(info.memory, 0U);
    EXPECT_GE(info.largest_buffer, 64U << 20);
    EXPECT_GE(info.largest_binding, 64U << 20);
    EXPECT_TRUE(std::has_single_bit(info.offset_alignment)) << info.offset_alignment;
    EXPECT_GE(info.largest_group, 64U);
    EXPECT_GE(info.local_memory, 16384U);
    EXPECT_GT(device->free_memory(), 0U);
  }
  EXPECT_THROW(GetParam().open(infos.size()), Error);
}

TEST_P(GpuDeviceTest, MemoryBeginsAsZeros) {
  for_each_device([](Device& device) {
    for (const bool host : {false, true}) {
      for (const uint64_t size : {0, 1, 5, 4096, 70001}) {
        // Twice, since memory that was used before comes back.
        for (int round = 0; round < 2; ++round) {
          const auto buffer = device.allocate(size, host);
          EXPECT_EQ(buffer->size(), size);
          EXPECT_EQ(read(device, *buffer, 0, size), std::vector<uint8_t>(size, 0));
          device.write(*buffer, 0, std::vector<uint8_t>(size, 0xAB));
        }
      }
    }
  });
}

TEST_P(GpuDeviceTest, WritesAndReadsAnyBytes) {
  for_each_device([](Device& device) {
    // More than what goes in one piece where bytes must be staged, and no multiple of it.
    constexpr size_t kLarge = (33 << 20) + 7;
    Random random;
    for (const bool host : {false, true}) {
      const auto buffer = device.allocate(kLarge, host);
      std::vector<uint8_t> expected = random_bytes(random, kLarge);
      device.write(*buffer, 0, expected);
      for (const auto& [offset, size] :
           {std::pair<size_t, size_t>{0, 1}, {3, 5}, {4095, 2}, {kLarge - 3, 3}}) {
        const std::vector<uint8_t> part = random_bytes(random, size);
        std::ranges::copy(part, expected.begin() + static_cast<ptrdiff_t>(offset));
        device.write(*buffer, offset, part);
        EXPECT_EQ(read(device, *buffer, offset, size), part);
      }
      device.write(*buffer, kLarge, {});
      EXPECT_TRUE(read(device, *buffer, 0, kLarge) == expected);
      EXPECT_THROW(device.write(*buffer, kLarge - 2, std::vector<uint8_t>(3)), Error);
      EXPECT_THROW(read(device, *buffer, kLarge + 1, 0), Error);
    }
  });
}

TEST_P(GpuDeviceTest, CommandsSeeWhatThoseBeforeWrote) {
  for_each_device([](Device& device) {
    Random random;
    const uint64_t align = device.info().offset_alignment;
    const std::vector<uint8_t> bytes = random_bytes(random, 4 * align);
    const auto host = device.allocate(bytes.size(), true);
    const auto first = device.allocate(bytes.size(), false);
    const auto second = device.allocate(bytes.size(), false);
    device.write(*host, 0, bytes);
    device.run(std::vector<Command>{
        copy(all_of(host), all_of(first)),
        copy({first, align, 2 * align}, {second, 2 * align, 2 * align}),
        copy({second, 2 * align, align}, {first, 0, align}),
        copy({first, 0, align}, {host, 3 * align, align}),
    });
    const auto part = [&](uint64_t begin, uint64_t size) {
      return std::vector(bytes.begin() + static_cast<ptrdiff_t>(begin),
                         bytes.begin() + static_cast<ptrdiff_t>(begin + size));
    };
    EXPECT_EQ(read(device, *second, 0, 2 * align), std::vector<uint8_t>(2 * align, 0));
    EXPECT_EQ(read(device, *second, 2 * align, 2 * align), part(align, 2 * align));
    EXPECT_EQ(read(device, *first, 0, align), part(align, align));
    EXPECT_EQ(read(device, *host, 3 * align, align), part(align, align));
    EXPECT_EQ(read(device, *host, 0, 3 * align), part(0, 3 * align));
  });
}

TEST_P(GpuDeviceTest, KernelsComputeInGroupsOfAnySize) {
  for_each_device([](Device& device) {
    Random random;
    for (const uint32_t group : {8U, 16U, 32U, 64U, 128U, 256U}) {
      if (group > device.info().largest_group) continue;
      for (const bool subgroups : {false, true}) {
        if (subgroups && !device.info().subgroup_sums) continue;
        SCOPED_TRACE(testing::Message() << "groups of " << group << (subgroups ? ", subgroups" : ""));
        const Kernel& kernel = device.kernel(rms_norm_key(subgroups, group));
        EXPECT_EQ(&kernel, &device.kernel(rms_norm_key(subgroups, group)));
        EXPECT_NE(&kernel, &device.kernel(rms_norm_key(subgroups, group / 2)));
        for (const uint32_t cols : {1U, 7U, group - 1, group, group + 1, 1000U}) {
          const Norm norm(random, 3, cols);
          const auto y = device.allocate(norm.x.size() * sizeof(float), false);
          device.run(std::vector<Command>{norm.command(kernel, all_of(buffer_of(device, norm.x)),
                                                       all_of(buffer_of(device, norm.gain)), all_of(y))});
          norm.expect_in(floats_of(device, *y));
        }
      }
    }
  });
}

TEST_P(GpuDeviceTest, BindingsBeginAtTheirOffsets) {
  for_each_device([](Device& device) {
    Random random;
    const Norm norm(random, 2, 64);
    const uint64_t offset = device.info().offset_alignment * 2;
    const auto x = device.allocate(offset + norm.x.size() * sizeof(float), false);
    device.write(*x, offset, as_bytes(norm.x));
    const auto y = device.allocate(x->size(), false);
    const Binding in{x, offset, x->size() - offset};
    const Binding out{y, offset, y->size() - offset};
    device.run(std::vector<Command>{
        norm.command(device.kernel(rms_norm_key(false, 32)), in, all_of(buffer_of(device, norm.gain)), out)});
    EXPECT_EQ(read(device, *y, 0, offset), std::vector<uint8_t>(offset, 0));
    std::vector<float> values = floats_of(device, *y);
    values.erase(values.begin(), values.begin() + static_cast<ptrdiff_t>(offset / sizeof(float)));
    norm.expect_in(values);
  });
}

TEST_P(GpuDeviceTest, AListIsRecordedOnceAndSeesNewInputs) {
  for_each_device([](Device& device) {
    Random random;
    const Norm shape(random, 5, 96);
    const auto host = device.allocate(shape.x.size() * sizeof(float), true);
    const auto x = device.allocate(host->size(), false);
    const auto y = device.allocate(host->size(), false);
    const auto gain = buffer_of(device, shape.gain);
    const std::vector<Command> commands{
        copy(all_of(host), all_of(x)),
        shape.command(device.kernel(rms_norm_key(false, 64)), all_of(x), all_of(gain), all_of(y)),
        copy(all_of(y), all_of(host)),
    };
    for (uint64_t round = 0; round < 4; ++round) {
      Norm norm = shape;
      norm.x = random.normals(shape.x.size());
      device.write(*host, 0, as_bytes(norm.x));
      device.run(commands);
      norm.expect_in(floats_of(device, *host));
      EXPECT_EQ(device.statistics().recorded, 1U);
      EXPECT_EQ(device.statistics().submitted, round + 1);
      EXPECT_EQ(device.statistics().commands, 3 * (round + 1));
    }
    // Lists run one after another, without a word between them.
    device.write(*host, 0, as_bytes(shape.x));
    for (int round = 0; round < 3; ++round) device.run(std::span(commands).subspan(round == 0 ? 0 : 1, 2));
    EXPECT_EQ(device.statistics().recorded, 3U);
    shape.expect_in(floats_of(device, *y));
  });
}

TEST_P(GpuDeviceTest, ABufferThatGoesTakesItsMemoryAlong) {
  for_each_device([](Device& device) {
    const auto keep = device.allocate(4096, false);
    device.wait();
    const uint64_t before = device.free_memory();
    // Altogether twice what there is.
    const uint64_t size = std::min(device.info().largest_buffer, before) / 4;
    for (int round = 0; round < 8; ++round) {
      const auto buffer = device.allocate(size, false);
      device.run(std::vector<Command>{copy({buffer, size - 4096, 4096}, all_of(keep))});
    }
    EXPECT_EQ(device.statistics().recorded, 8U);
    EXPECT_GE(device.free_memory() + (64 << 20), before);
  });
}

TEST_P(GpuDeviceTest, ABufferThatGoesTakesItsRecordingsAlong) {
  for_each_device([](Device& device) {
    const auto keep = device.allocate(4096, false);
    const std::vector<Command> kept{copy({keep, 0, 1024}, {keep, 2048, 1024})};
    device.run(kept);
    // More than are kept. If these stayed, the first would have to go.
    for (int round = 0; round < 40; ++round) {
      device.run(std::vector<Command>{copy(all_of(device.allocate(4096, false)), all_of(keep))});
    }
    device.run(kept);
    EXPECT_EQ(device.statistics().recorded, 41U);
  });
}

TEST_P(GpuDeviceTest, ImportsPagesOfTheMachine) {
  for_each_device([](Device& device) {
    Random random;
    constexpr size_t kSize = 3 * 4096;
    struct Free {
      void operator()(uint8_t* memory) const { std::free(memory); }
    };
    const std::unique_ptr<uint8_t, Free> memory(static_cast<uint8_t*>(std::aligned_alloc(4096, kSize)));
    const std::vector<uint8_t> bytes = random_bytes(random, kSize);
    std::ranges::copy(bytes, memory.get());
    const auto imported = device.import({memory.get(), kSize});
    const bool offered = std::ranges::count(device.info().features, "host memory import") > 0;
    EXPECT_EQ(imported != nullptr, offered);
    if (!imported) return;
    EXPECT_EQ(imported->size(), kSize);
    const auto copied = device.allocate(kSize, false);
    device.run(std::vector<Command>{copy(all_of(imported), all_of(copied))});
    EXPECT_TRUE(read(device, *copied, 0, kSize) == bytes);
    EXPECT_TRUE(read(device, *imported, 0, kSize) == bytes);
  });
}

TEST_P(GpuDeviceTest, ThreadsTakeTurns) {
  for_each_device([](Device& device) {
    const auto work = [&](uint64_t seed) {
      Random random(seed);
      for (int round = 0; round < 20; ++round) {
        const Norm norm(random, 4, 200);
        const Kernel& kernel = device.kernel(rms_norm_key(false, 8U << (round % 4)));
        const auto y = device.allocate(norm.x.size() * sizeof(float), round % 2 == 0);
        device.run(std::vector<Command>{norm.command(kernel, all_of(buffer_of(device, norm.x, true)),
                                                     all_of(buffer_of(device, norm.gain)), all_of(y))});
        norm.expect_in(floats_of(device, *y));
      }
    };
    std::thread other(work, 2);
    work(3);
    other.join();
    EXPECT_EQ(device.statistics().submitted, 40U);
  });
}

TEST_P(GpuDeviceTest, WhatCannotBeIsAnError) {
  for_each_device([](Device& device) {
    const auto refused = [&](const KernelKey& key, const std::string& part) {
      test::expect_error([&] { device.kernel(key); }, {key.name, part});
    };
    refused({"no_such_kernel", {}, {{"GROUP", 64}}}, "");
    refused({"rms_norm", {{"SUBGROUPS", 7}}, {{"GROUP", 64}}}, "SUBGROUPS=7");
    refused(rms_norm_key(false, 1 << 20), "GROUP=1048576");
    refused({"rms_norm", {{"SUBGROUPS", 0}}, {}}, "GROUP");
    for (const bool host : {false, true}) {
      test::expect_error([&] { device.allocate(uint64_t{1} << 60, host); }, {"1152921504606846976 bytes"});
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Drivers, GpuDeviceTest, ::testing::ValuesIn(kDrivers),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace rotor::runtime::gpu
