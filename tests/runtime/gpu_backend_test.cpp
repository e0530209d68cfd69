// The ops on GPUs that are not those of this machine (tests/support/disguised_device.h): each must agree with
// the CPU whatever a device can and cannot do. How weights get there is gpu_weights_test.cpp.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <thread>

#include "runtime/backends/backend_check.h"
#include "runtime/backends/cpu/cpu_backend.h"
#include "tests/support/gpu_backends.h"
#include "tests/support/random.h"

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

/// Attention of up to four tokens is shared out by stretches of the cache: of 256 tokens, up to 32 of them,
/// then longer ones. Every token counts alike here: one that is left out or counted twice moves an output by
/// some 1 / 16384 of the largest at least, rounding by 1e-6.
TEST_P(GpuBackendTest, AttentionCountsEveryTokenOnceInAnyStretch) {
  constexpr int64_t kHeads = 2;
  constexpr int64_t kQueryHeads = 4;
  constexpr int64_t kDim = 8;
  constexpr int64_t kTokens = 16400;
  const RopeTable rope = rope_table(kDim, 10000.0, kTokens);
  const auto [device, gpu] = disguised_backend(GetParam());
  const auto cpu = make_cpu_backend(1, false);
  test::Random random;
  struct Side {
    Backend* backend;
    KvCache cache;
    std::vector<float> y;
  };
  std::array<Side, 2> sides;
  sides[0].backend = gpu.get();
  sides[1].backend = cpu.get();
  for (Side& side : sides) {
    side.cache = side.backend->allocate_kv_cache({.layers = 1,
                                                  .heads = kHeads,
                                                  .page_tokens = kTokens,
                                                  .head_dim = kDim,
                                                  .type = KvType::f32,
                                                  .storage = {}});
  }
  int64_t position = 0;
  const auto feed = [&](int64_t tokens, bool look) {
    std::vector<std::vector<float>> inputs;
    for (const int64_t heads : {kQueryHeads, kHeads, kHeads}) {
      inputs.push_back(random.normals(static_cast<size_t>(tokens * heads * kDim)));
    }
    const std::array<int32_t, 1> page = {0};
    const std::array texts = {TextRows{tokens, position, page}};
    for (Side& side : sides) {
      std::vector<Tensor> x;
      for (const auto& values : inputs) {
        x.push_back(side.backend->allocate(tokens, std::ssize(values) / tokens));
        side.backend->upload(values, x.back());
      }
      side.backend->append_kv(side.cache, 0, texts, rope, x[0], x[1], x[2]);
      if (!look) continue;
      const Tensor y = side.backend->allocate(tokens, x[0].cols);
      side.backend->attention(x[0], side.cache, 0, texts, y);
      side.y.resize(inputs[0].size());
      side.backend->download(y, side.y);
    }
    position += tokens;
    if (!look) return;
    double largest = 0;
    double difference = 0;
    for (size_t i = 0; i < sides[0].y.size(); ++i) {
      const auto [found, expected] = std::pair<double, double>(sides[0].y[i], sides[1].y[i]);
      largest = std::max(largest, std::fabs(expected));
      difference = std::max(difference, std::fabs(found - expected));
    }
    EXPECT_LE(difference / largest, 1e-5) << tokens << " tokens before " << position;
  };
  for (const int64_t edge : {256, 512, 1024, 2048, 4096, 8192, 16384}) {
    feed(edge - 7 - position, false);
    feed(3, true);
    for (int i = 0; i < 6; ++i) feed(1, true);
    feed(4, true);
    feed(1, true);
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
