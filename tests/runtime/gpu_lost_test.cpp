// A GPU that is lost while a model runs on it, at any call, by Vulkan's own word or by a disguised device's:
// the CPU goes on with the same text, and what lay on the device goes quietly.
#include <gtest/gtest.h>

#include "runtime/backends/vulkan/vulkan_device.h"
#include "runtime/engine/language_model.h"
#include "tests/support/environment.h"
#include "tests/support/gpu_backends.h"
#include "tests/support/logits.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime::gpu {
namespace {

using test::DisguisedDevice;
using test::greedy;
using test::Variable;
using text::TokenId;

const std::vector<TokenId> kPrompt = {5, 17, 99, 3, 50, 8, 41, 77};
// Before, the backend is made; this call looks for how much memory is free.
constexpr int64_t kFirstCall = 2;
const SessionOptions kOptions{.context = 40, .kv = KvType::f32, .batch = 4};

class LostModelTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    files_ = new test::TempDir;
    test::write_random_model(files_->file("m.rotor"), test::small_transformer(), 1, {DenseType::f32});
  }
  static void TearDownTestSuite() {
    delete files_;
    files_ = nullptr;
  }

  std::unique_ptr<LanguageModel> place(std::unique_ptr<Backend> device, int64_t gpu_layers) {
    warnings_.clear();
    LanguageModelOptions options;
    options.placement.gpu_layers = gpu_layers;
    options.warn = [this](const std::string& message) { warnings_.push_back(message); };
    Backends backends{std::move(device), make_cpu_backend(1, false)};
    return std::make_unique<LanguageModel>(files_->file("m.rotor"), std::move(backends), options);
  }
  /// What a user does with a model. Two sessions at once, the first of which began before.
  static std::vector<std::vector<TokenId>> use(const LanguageModel& model) {
    Session first = model.make_session(kOptions);
    std::vector<std::vector<TokenId>> texts = {greedy(first, kPrompt, 4)};
    Session second = model.make_session(kOptions);
    texts.push_back(greedy(second, {9, 8, 7}, 4));
    texts.push_back(greedy(first, {2}, 4));
    return texts;
  }
  std::vector<std::vector<TokenId>> expected() {
    return use(LanguageModel(files_->file("m.rotor"), {.backend = "cpu", .threads = 1}));
  }

  std::vector<std::string> warnings_;
  inline static test::TempDir* files_ = nullptr;
};

class GpuLostTest : public LostModelTest, public ::testing::WithParamInterface<Driver> {};

INSTANTIATE_TEST_SUITE_P(Drivers, GpuLostTest, ::testing::ValuesIn(drivers().begin(), drivers().end()),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_P(GpuLostTest, TheTextIsTheSameWheneverItIsLost) {
  const auto right = expected();
  const std::shared_ptr<Device> real = GetParam().open(0);
  for (const int64_t gpu_layers : {int64_t{2}, PlacementOptions::kAll}) {
    int64_t calls = 0;
    {
      auto [device, backend] = test::disguised_backend(GetParam(), real);
      const auto model = place(std::move(backend), gpu_layers);
      EXPECT_EQ(use(*model), right);
      EXPECT_TRUE(warnings_.empty());
      calls = device->counts().calls;
    }
    ASSERT_GT(calls, 80);
    for (int64_t call = kFirstCall; call < calls; ++call) {
      SCOPED_TRACE(testing::Message() << gpu_layers << " layers, lost at call " << call << " of " << calls);
      auto [device, backend] = test::disguised_backend(GetParam(), real);
      ASSERT_LE(device->counts().calls, kFirstCall);
      device->lose_at(call);
      auto model = place(std::move(backend), gpu_layers);
      ASSERT_EQ(use(*model), right);
      // How many calls bring weights depends on which of them share a page.
      if (device->counts().calls <= call) {
        EXPECT_GT(call, calls * 9 / 10);
        break;
      }
      EXPECT_EQ(warnings_.size(), 1U);
      EXPECT_EQ(use(*model), right);
      EXPECT_EQ(warnings_.size(), 1U);
      // Once it is lost, nobody asks it any more, and nothing but what the backend keeps is left on it.
      const int64_t asked = device->counts().calls;
      EXPECT_EQ(use(*model), right);
      EXPECT_EQ(device->counts().calls, asked);
    }
  }
}

// Tensors, caches and weights that were there go after the device was lost, with lists that use them in
// flight.
TEST_P(GpuLostTest, WhatLayThereGoesQuietly) {
  auto [device, backend] = test::disguised_backend(GetParam());
  const std::vector<float> values(4096, 1.5F);
  const WeightBytes weights{{reinterpret_cast<const uint8_t*>(values.data()), 16384}, 64};
  auto holder = backend->hold({&weights, 1});
  auto x = std::make_unique<Tensor>(backend->allocate(16, 256));
  auto y = std::make_unique<Tensor>(backend->allocate(16, 256));
  auto cache = std::make_unique<KvCache>(backend->allocate_kv_cache(
      {.layers = 2, .heads = 2, .page_tokens = 8, .head_dim = 8, .type = KvType::q8, .storage = nullptr}));
  backend->upload(values, *x);
  backend->rms_norm(*x, std::span(values).first(256), 1e-5F, *y);
  device->lose_at(device->counts().calls);
  std::vector<float> found(4096);
  EXPECT_THROW(backend->download(*y, found), DeviceLost);
  EXPECT_THROW(backend->download(*y, found), DeviceLost);
  const WeightBytes others{{reinterpret_cast<const uint8_t*>(found.data()), 16384}, 64};
  EXPECT_THROW(backend->hold({&others, 1}), DeviceLost);
  EXPECT_THROW(backend->allocate(1, 1), DeviceLost);
  EXPECT_THROW(backend->free_memory(), DeviceLost);
  EXPECT_THROW(backend->measure_read_bandwidth(), DeviceLost);
  const int64_t before = device->counts().buffers;
  cache.reset();
  holder.reset();
  x.reset();  // commands that could not run use it
  EXPECT_LT(device->counts().buffers, before);
  y.reset();
  backend.reset();
}

// For real: the driver itself says so, in the middle of what it was given (tests/support/vulkan_faults.cpp).
TEST_F(LostModelTest, VulkanSaysItIsLost) {
  const Variable path("VK_ADD_LAYER_PATH", ROTOR_FAULT_LAYER_DIR);
  const Variable layers("VK_INSTANCE_LAYERS", "VK_LAYER_ROTOR_faults");
  const auto right = expected();
  for (const char* fault : {"ROTOR_FAULT_SUBMIT", "ROTOR_FAULT_WAIT"}) {
    for (const char* call : {"0", "1", "3", "5", "8", "10"}) {
      SCOPED_TRACE(testing::Message() << fault << " " << call);
      auto device = kVulkanDriver.open(0);
      const Tuning tuning = default_tuning(device->info());
      auto model = place(make_gpu_backend("vulkan", std::move(device), tuning), PlacementOptions::kAll);
      const Variable failing(fault, call);
      EXPECT_EQ(use(*model), right);
      ASSERT_EQ(warnings_.size(), 1U);
      EXPECT_NE(warnings_[0].find("vulkan: the device is lost"), std::string::npos) << warnings_[0];
      EXPECT_EQ(use(*model), right);
      EXPECT_EQ(model->backend().name(), "cpu");
      model.reset();
    }
  }
}

}  // namespace
}  // namespace rotor::runtime::gpu
