// What models take of a GPU's memory and of the process's: weights are shared and given back, too little
// memory is an error that says what helps, and loading a model again and again takes no more than once.
//
// ROTOR_TEST_LOADS=1000 gpu_tests --gtest_filter='*GpuMemory*Again*' loads so often, and a tenth of that on
// new devices, instead of 100 times.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>

#include "export/convert.h"
#include "rotor/formats/checkpoint.h"
#include "runtime/engine/language_model.h"
#include "runtime/ops/ops.h"
#include "tests/support/environment.h"
#include "tests/support/gpu_backends.h"
#include "tests/support/logits.h"
#include "tests/support/models.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime::gpu {
namespace {

using test::disguised_backend;
using test::DisguisedDevice;
using test::expect_error;
using text::TokenId;

/// Bytes of the process that lie in memory.
int64_t resident_bytes() {
  int64_t all = 0;
  int64_t resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

class GpuMemoryTest : public ::testing::TestWithParam<Driver> {
 protected:
  /// The tiny model of tests/golden.
  std::string golden_model() const {
    test::write_golden_transformer(dir_.file("tiny"), "packed");
    exporting::export_rotor(Checkpoint(dir_.file("tiny")), dir_.file("tiny.rotor"), {}, [](const auto&) {});
    return dir_.file("tiny.rotor");
  }
  /// A model is loaded, computes a token, and goes.
  static void load(const std::string& file, std::unique_ptr<Backend> device) {
    Backends backends{std::move(device), make_cpu_backend(1, false)};
    LanguageModelOptions options;
    options.placement.gpu_layers = PlacementOptions::kAll;
    const LanguageModel model(file, std::move(backends), options);
    Session session = model.make_session({.context = 32});
    const TokenId id = 3;
    session.feed({&id, 1});
  }
  /// Expects that what is loaded later stays within 2 % and a MiB of what is there once all is warm.
  /// Sanitizers keep what was freed, and find by themselves what was not.
  static void expect_level(const char* what, int64_t loads, const std::function<void()>& load_once) {
    const int64_t warm = std::min<int64_t>(loads / 2, 100);
    int64_t before = 0;
    for (int64_t i = 0; i < loads; ++i) {
      load_once();
      if (i + 1 == warm) before = resident_bytes();
    }
    const int64_t after = resident_bytes();
    std::printf("%s: %ld loads, %.1f MiB after %ld, %.1f MiB after all\n", what, loads,
                static_cast<double>(before) / (1 << 20), warm, static_cast<double>(after) / (1 << 20));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    EXPECT_LE(after, before + before / 50 + (1 << 20)) << what;
#endif
  }
  /// Vulkan's validation layer keeps some KB of every command buffer (lsan.supp).
  static test::Variable without_validation() {
    return {"ROTOR_VULKAN_VALIDATION", "0"};
  }
  static int64_t loads() {
    const char* wanted = std::getenv("ROTOR_TEST_LOADS");
    return wanted != nullptr ? std::atol(wanted) : 100;
  }

  test::TempDir dir_;
};

INSTANTIATE_TEST_SUITE_P(Drivers, GpuMemoryTest, ::testing::ValuesIn(drivers().begin(), drivers().end()),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_P(GpuMemoryTest, LoadingAgainTakesNoMore) {
  const std::string file = golden_model();
  const test::Variable unwatched = without_validation();
  const std::shared_ptr<Device> real = GetParam().open(0);
  expect_level(GetParam().name, loads(), [&] {
    auto [device, backend] = disguised_backend(GetParam(), real);
    load(file, std::move(backend));
  });
}

TEST_P(GpuMemoryTest, LoadingAgainOnNewDevicesTakesNoMore) {
  const std::string file = golden_model();
  const test::Variable unwatched = without_validation();
  expect_level(GetParam().name, loads() / 10, [&] {
    auto device = GetParam().open(0);
    const Tuning tuning = default_tuning(device->info());
    load(file, make_gpu_backend(GetParam().name, std::move(device), tuning));
  });
}

/// Pages of random numbers, as weights.
class Numbers {
 public:
  explicit Numbers(uint64_t seed) { fill(seed); }
  void fill(uint64_t seed) const { std::ranges::copy(test::Random(seed).normals(kCount), memory_.get()); }
  const float* data() const { return memory_.get(); }
  std::span<const uint8_t> bytes() const { return {reinterpret_cast<const uint8_t*>(data()), kBytes}; }
  WeightBytes weights(uint64_t first = 0, uint64_t size = kBytes) const {
    return {bytes().subspan(first, size), 1024};
  }
  static constexpr size_t kCount = 1 << 16;
  static constexpr uint64_t kBytes = kCount * sizeof(float);

 private:
  struct Free {
    void operator()(float* memory) const { std::free(memory); }
  };
  std::unique_ptr<float, Free> memory_{static_cast<float*>(std::aligned_alloc(4096, kBytes))};
};

/// The numbers as the device sees them: rows of a table.
std::vector<float> seen(Backend& backend, const Numbers& numbers, int64_t rows = 256) {
  const DenseMatrix table{rows, 256, DenseType::f32, numbers.bytes().data(), {}};
  std::vector<int32_t> ids(static_cast<size_t>(rows));
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i);
  const Tensor y = backend.allocate(rows, 256);
  ops::embed(backend, table, ids, y);
  std::vector<float> values(ids.size() * 256);
  backend.download(y, values);
  return values;
}
std::vector<float> as_they_are(const Numbers& numbers) {
  return {numbers.data(), numbers.data() + Numbers::kCount};
}

TEST_P(GpuMemoryTest, WeightsAreSharedUntilTheLastHolderGoes) {
  const std::shared_ptr<Device> real = GetParam().open(0);
  for (const bool imports : {false, true}) {
    auto [device, backend] =
        disguised_backend(GetParam(), real, [=](DeviceInfo& info) { info.unified_memory = imports; });
    device->set_memory(uint64_t{64} << 20);
    const Numbers numbers(1);
    const WeightBytes all = numbers.weights();
    const WeightBytes parts[] = {numbers.weights(4096, 8192), numbers.weights(65536, 4096)};
    seen(*backend, numbers);  // makes room for results
    const uint64_t empty = *backend->free_memory();
    const int64_t buffers = device->counts().buffers;
    auto first = backend->hold({&all, 1});
    const uint64_t taken = imports ? 0 : Numbers::kBytes;
    EXPECT_EQ(*backend->free_memory(), empty - taken);
    EXPECT_EQ(device->counts().buffers, buffers + 1);
    auto second = backend->hold({&all, 1});
    auto third = backend->hold(parts);
    EXPECT_EQ(*backend->free_memory(), empty - taken);
    EXPECT_EQ(device->counts().buffers, buffers + 1);
    first.reset();
    second.reset();
    EXPECT_EQ(device->counts().buffers, buffers + 1);
    const uint64_t written = device->counts().bytes_to;
    EXPECT_EQ(seen(*backend, numbers), as_they_are(numbers));
    EXPECT_LT(device->counts().bytes_to - written, Numbers::kBytes) << "it is still there";
    third.reset();
    EXPECT_EQ(device->counts().buffers, buffers);
    EXPECT_EQ(*backend->free_memory(), empty);
    numbers.fill(2);
    EXPECT_EQ(seen(*backend, numbers), as_they_are(numbers));
  }
}

TEST_P(GpuMemoryTest, WhatLayInThePlaceOfOtherWeightsIsNotFound) {
  const std::shared_ptr<Device> real = GetParam().open(0);
  auto [device, backend] =
      disguised_backend(GetParam(), real, [](DeviceInfo& info) { info.unified_memory = false; });
  const Numbers numbers(1);
  const WeightBytes all = numbers.weights();
  for (uint64_t seed = 2; seed < 6; ++seed) {
    const auto holder = backend->hold({&all, 1});
    EXPECT_EQ(seen(*backend, numbers), as_they_are(numbers));
    numbers.fill(seed);  // the next model; nobody may look before the holder is gone
  }
  // Another model that lay there holds some of it: less than a row, or not where a binding may begin.
  for (const auto& [first, size] :
       {std::pair<uint64_t, uint64_t>{0, 512}, {0, 4096}, {16384, 100}, {1000, 9000}}) {
    numbers.fill(7);
    const WeightBytes part = numbers.weights(first, size);
    const auto holder = backend->hold({&part, 1});
    EXPECT_EQ(seen(*backend, numbers), as_they_are(numbers)) << size << " bytes at " << first;
    const auto whole = backend->hold({&all, 1});
    EXPECT_EQ(seen(*backend, numbers), as_they_are(numbers)) << size << " bytes at " << first;
  }
}

TEST_P(GpuMemoryTest, TooLittleMemoryIsAnErrorThatSaysWhatHelps) {
  const std::string file = golden_model();
  const std::shared_ptr<Device> real = GetParam().open(0);
  auto [device, backend] =
      disguised_backend(GetParam(), real, [](DeviceInfo& info) { info.unified_memory = false; });
  DisguisedDevice* const gpu = device;
  gpu->set_memory(gpu->counts().bytes + 100000);
  const Numbers numbers(1);
  const WeightBytes all = numbers.weights();
  const uint64_t before = gpu->counts().bytes;
  expect_error(
      [&, &made = backend] {
        made->hold({&all, 1});
      },
      {gpu->info().name, "no room for 262144 bytes"});
  EXPECT_EQ(gpu->counts().bytes, before);
  // A model of which a user says that it fits.
  gpu->set_memory(before + 1000);
  LanguageModelOptions options;
  options.placement.gpu_memory = uint64_t{1} << 30;
  const LanguageModel model(file, {std::move(backend), make_cpu_backend(1, false)}, options);
  expect_error([&] { model.make_session({.context = 32}); },
               {"no room for", "--gpu-layers and --gpu-memory keep layers on the CPU"});
  EXPECT_EQ(gpu->counts().bytes, before);
}

// Drivers' own words for it.
TEST_P(GpuMemoryTest, MoreThanThereIsIsAnError) {
  const auto backend =
      make_gpu_backend(GetParam().name, GetParam().open(0), default_tuning(GetParam().list()[0]));
  const auto too_much = static_cast<int64_t>(*backend->free_memory() / 4096);
  expect_error([&] { backend->allocate(too_much, 4096); }, {GetParam().list()[0].name, "bytes", "free"});
  expect_error(
      [&] {
        backend->allocate_kv_cache({.layers = 1,
                                    .heads = 8,
                                    .page_tokens = int64_t{1} << 30,
                                    .head_dim = 128,
                                    .type = KvType::f16,
                                    .storage = nullptr});
      },
      {GetParam().list()[0].name, "choose a context of at most", "--kv q8"});
  EXPECT_EQ(backend->allocate(1, 1).rows, 1);
}

}  // namespace
}  // namespace rotor::runtime::gpu
