// The ops on GPUs that are not those of this machine (tests/support/disguised_device.h): each must agree with
// the CPU whatever a device can and cannot do. How weights get there is gpu_weights_test.cpp.
#include <gtest/gtest.h>

#include <thread>

#include "runtime/backends/backend_check.h"
#include "runtime/backends/cpu/cpu_backend.h"
#include "tests/support/gpu_backends.h"

namespace rotor::runtime::gpu {
namespace {

using test::all_pass;
using test::disguised_backend;

/// A device that differs from the one that computes.
struct Disguise {
  const char* name;
  void (*change)(DeviceInfo&);
  bool vulkan_only = false;
};

void make_discrete(DeviceInfo& info) {
  info.type = DeviceType::discrete;
  info.unified_memory = false;
  info.most_rows = 4;
}

// Largest bindings and buffers: what the checks' largest tensors take.
constexpr uint64_t kSmall = uint64_t{1} << 22;

const Disguise kDisguises[] = {
    {"AsItIs", [](DeviceInfo&) {}},
    {"Discrete",
     [](DeviceInfo& info) {
       make_discrete(info);
       info.offset_alignment = 256;
     }},
    {"DiscreteWithoutSubgroups",
     [](DeviceInfo& info) {
       make_discrete(info);
       info.subgroup_sums = false;
       info.offset_alignment = 512;
       info.largest_binding = info.largest_buffer = kSmall;
     }},
    {"DiscreteDotProduct",
     [](DeviceInfo& info) {
       make_discrete(info);
       info.dot_product = true;
     },
     true},
    {"ProcessorDotProduct", [](DeviceInfo& info) { info.dot_product = true; }, true},
    {"IntegratedWithSmallGroups",
     [](DeviceInfo& info) {
       info.type = DeviceType::integrated;
       info.unified_memory = true;
       info.most_rows = 1;
       info.largest_group = 64;
       info.offset_alignment = 4;
     }},
    {"PagesOnly",
     [](DeviceInfo& info) {
       info.offset_alignment = 4096;
       info.largest_binding = kSmall;
       info.most_rows = 4;
       info.subgroup_sums = false;
     }},
};

class GpuBackendTest : public ::testing::TestWithParam<Driver> {};

INSTANTIATE_TEST_SUITE_P(Drivers, GpuBackendTest, ::testing::ValuesIn(drivers().begin(), drivers().end()),
                         [](const auto& test) { return std::string(test.param.name); });

// lavapipe has dot products that it does not recommend; PoCL has none, so there is nothing to compile them.
TEST_P(GpuBackendTest, EveryOpAgreesWithTheCpuOnAnyDevice) {
  const std::shared_ptr<Device> real = GetParam().open(0);
  for (const Disguise& disguise : kDisguises) {
    if (disguise.vulkan_only && std::string(GetParam().name) != "vulkan") continue;
    SCOPED_TRACE(disguise.name);
    const auto [device, backend] = disguised_backend(GetParam(), real, disguise.change);
    EXPECT_TRUE(all_pass(*backend));
  }
}

// Their commands lie among one another's in the same lists, and share memory between kernels.
TEST_P(GpuBackendTest, ThreadsDoNotDisturbOneAnother) {
  const auto [device, backend] = disguised_backend(GetParam());
  const auto check = [&backend = backend] {
    for (int round = 0; round < 3; ++round) EXPECT_TRUE(all_pass(*backend, CheckDepth::quick));
  };
  std::thread other(check);
  check();
  other.join();
}

}  // namespace
}  // namespace rotor::runtime::gpu
