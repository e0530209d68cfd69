// A device that is lost, at any of its calls: the CPU goes on, and the text is the same.
#include <gtest/gtest.h>

#include <algorithm>

#include "runtime/engine/benchmark.h"
#include "runtime/engine/language_model.h"
#include "tests/support/adapters.h"
#include "tests/support/logits.h"
#include "tests/support/models.h"
#include "tests/support/pretend_device.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime {
namespace {

using test::all_logits;
using test::argmax;
using test::greedy;
using test::PretendDevice;
using text::TokenId;

constexpr int64_t kVocab = 300;

const std::vector<TokenId> kPrompt = {5, 17, 99, 3, 250, 8, 41, 77, 123, 9};
const SessionOptions kOptions{.context = 40, .batch = 4, .head_screening = HeadScreeningMode::on};

/// By how many layers the device has: some, all, all and the head.
class LostDeviceTest : public ::testing::TestWithParam<int64_t> {
 protected:
  static void SetUpTestSuite() {
    files_ = new test::TempDir;
    ModelConfig config = test::small_transformer();
    config.transformer.vocab_size = kVocab;
    test::write_random_model(files_->file("m.rotor"), config, 1, {DenseType::q8, true});
    test::write_random_adapter(files_->file("adapter"), config, 3);
  }
  static void TearDownTestSuite() {
    delete files_;
    files_ = nullptr;
  }
  static std::string path() { return files_->file("m.rotor"); }

  struct Placed {
    PretendDevice* device;
    std::unique_ptr<LanguageModel> model;
  };
  Placed place(std::optional<int64_t> lose_at) {
    warnings_.clear();
    auto device = std::make_unique<PretendDevice>(PretendDevice::Options{});
    device->lose_at(lose_at);
    auto cpu =
        std::make_unique<PretendDevice>(PretendDevice::Options{.name = "cpu", .needs_weights_held = false});
    Placed placed{device.get(), nullptr};
    LanguageModelOptions options;
    options.placement.gpu_layers = GetParam();
    options.warn = [this](const std::string& message) { warnings_.push_back(message); };
    placed.model =
        std::make_unique<LanguageModel>(path(), Backends{std::move(device), std::move(cpu)}, options);
    return placed;
  }
  /// Expects the one warning if the device is lost, else none.
  void expect_warnings(const Placed& placed, bool lost) const {
    EXPECT_EQ(placed.model->placement()->lost(), lost);
    EXPECT_EQ(placed.model->backend().name(), lost ? "cpu" : "pretend");
    const bool head_on_device = !lost && GetParam() == PlacementOptions::kAll;
    EXPECT_EQ(placed.model->placement()->head_backend().name(), head_on_device ? "pretend" : "cpu");
    ASSERT_EQ(warnings_.size(), lost ? 1U : 0U);
    if (lost) {
      EXPECT_NE(warnings_[0].find("pretend: the device is lost (pretended)"), std::string::npos)
          << warnings_[0];
    }
  }

  /// What a user does with a session.
  static std::vector<std::vector<TokenId>> use(const LanguageModel& model) {
    Session session = model.make_session(kOptions);
    std::vector<std::vector<TokenId>> texts;
    texts.push_back(greedy(session, kPrompt, 6));
    session.rewind(7);
    texts.push_back(greedy(session, {1}, 3));
    const WantedLogits wanted{3, {}, kVocab};
    const TokenId last = 2;
    texts.push_back({argmax(session.feed({&last, 1}, wanted))});
    EXPECT_EQ(session.position(), 11);
    return texts;
  }

  std::vector<std::string> warnings_;
  inline static test::TempDir* files_ = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Layers, LostDeviceTest, ::testing::Values(2, 3, PlacementOptions::kAll),
                         [](const auto& param) {
                           return param.param == PlacementOptions::kAll ? "All"
                                                                        : "Of" + std::to_string(param.param);
                         });

TEST_P(LostDeviceTest, TheTextIsTheSameWheneverItIsLost) {
  const Placed whole = place(std::nullopt);
  const auto expected = use(*whole.model);
  const int64_t calls = whole.device->counts().calls;
  ASSERT_GT(calls, 100);
  for (int64_t call = 0; call <= calls; ++call) {
    const Placed placed = place(call);
    ASSERT_EQ(use(*placed.model), expected) << "lost at call " << call << " of " << calls;
    expect_warnings(placed, call < calls);
    if (call == calls) break;
    // A session that begins afterwards does not ask the device.
    const int64_t before = placed.device->counts().calls;
    EXPECT_EQ(use(*placed.model), expected);
    EXPECT_EQ(placed.device->counts().calls, before);
    EXPECT_EQ(warnings_.size(), 1U);
  }
}

TEST_P(LostDeviceTest, AdaptersGoOnWheneverItIsLost) {
  const auto use_adapter = [](const LanguageModel& model) {
    Session session = model.make_session(kOptions);
    std::vector<std::vector<TokenId>> texts = {greedy(session, kPrompt, 2)};
    session.set_adapters({{model.load_adapter(files_->file("adapter")), 1.0F}});
    texts.push_back(greedy(session, kPrompt, 4));
    session.set_adapters({});
    texts.push_back(greedy(session, kPrompt, 2));
    return texts;
  };
  const Placed whole = place(std::nullopt);
  const auto expected = use_adapter(*whole.model);
  ASSERT_NE(std::vector(expected[1].begin(), expected[1].begin() + 2), expected[0])
      << "the adapter must matter";
  const int64_t calls = whole.device->counts().calls;
  for (int64_t call = 0; call <= calls; ++call) {
    const Placed placed = place(call);
    ASSERT_EQ(use_adapter(*placed.model), expected) << "lost at call " << call << " of " << calls;
    expect_warnings(placed, call < calls);
  }
}

TEST_P(LostDeviceTest, AllLogitsAndStatesComeOnceWheneverItIsLost) {
  struct Seen {
    std::vector<float> logits;
    std::vector<int64_t> layers;
    std::vector<float> states;
    std::vector<int64_t> misses;
    bool operator==(const Seen&) const = default;
  };
  const auto look = [](const LanguageModel& model) {
    Session session = model.make_session(kOptions);
    Seen seen;
    session.observe([&](int64_t layer, std::span<const float> x) {
      seen.layers.push_back(layer);
      seen.states.insert(seen.states.end(), x.begin(), x.end());
    });
    int64_t next = 0;
    const auto keep = [&](int64_t index, std::span<const float> row) {
      EXPECT_EQ(index, next++);
      seen.logits.insert(seen.logits.end(), row.begin(), row.end());
    };
    session.feed_all(kPrompt, keep);
    next = 0;
    std::vector<ScreeningCheck> checks = {{.count = 1}, {.count = 4}};
    session.check_screening(std::span(kPrompt).first(6), checks, keep);
    for (const ScreeningCheck& check : checks) {
      seen.misses.insert(seen.misses.end(), {check.tokens, check.misses, check.whole, check.rows});
    }
    const auto fed = session.feed(std::span(kPrompt).first(2));
    seen.logits.insert(seen.logits.end(), fed.begin(), fed.end());
    return seen;
  };
  const Placed whole = place(std::nullopt);
  const Seen expected = look(*whole.model);
  const int64_t calls = whole.device->counts().calls;
  EXPECT_EQ(expected.misses[0], 6);
  for (int64_t call = 0; call < calls; ++call) {
    const Placed placed = place(call);
    ASSERT_TRUE(look(*placed.model) == expected) << "lost at call " << call << " of " << calls;
    expect_warnings(placed, true);
  }
}

TEST_P(LostDeviceTest, OtherSessionsGoOnToo) {
  const Placed whole = place(std::nullopt);
  const std::vector<TokenId> other = {9, 8, 7, 6, 5};
  const auto run = [&](const Placed& placed, bool lose) {
    Session a = placed.model->make_session(kOptions);
    Session b = placed.model->make_session(kOptions);
    std::vector<TokenId> ids = greedy(a, kPrompt, 3);
    const auto more = greedy(b, other, 3);
    ids.insert(ids.end(), more.begin(), more.end());
    if (lose) placed.device->lose_at(placed.device->counts().calls);
    for (Session* session : {&a, &b, &a}) {
      const auto next = greedy(*session, {ids.back()}, 3);
      ids.insert(ids.end(), next.begin(), next.end());
    }
    return ids;
  };
  const auto expected = run(whole, false);
  const Placed placed = place(std::nullopt);
  EXPECT_EQ(run(placed, true), expected);
  expect_warnings(placed, true);
}

TEST_P(LostDeviceTest, OtherErrorsPassThrough) {
  const Placed placed = place(std::nullopt);
  Session session = placed.model->make_session(kOptions);
  const auto expected = greedy(session, kPrompt, 2);
  session.rewind(0);
  placed.device->fail_at(placed.device->counts().calls + 3);
  test::expect_error([&] { session.feed(kPrompt); }, {"pretended failure"});
  expect_warnings(placed, false);
  session.rewind(0);
  EXPECT_EQ(greedy(session, kPrompt, 2), expected);
}

TEST_P(LostDeviceTest, NothingIsMeasuredThen) {
  const Placed placed = place(200);
  BenchmarkOptions options;
  options.prompt_tokens = 8;
  options.decode_tokens = 8;
  options.repetitions = 2;
  test::expect_error([&] { run_benchmark(*placed.model, options); }, {"pretend", "the device was lost"});
}

TEST(LostDevice, WithoutAnotherBackendItIsAnError) {
  const test::TempDir dir;
  test::write_random_model(dir.file("m.rotor"), test::small_transformer());
  const RotorFile file(dir.file("m.rotor"));
  const Transformer model(file);
  PretendDevice device({});
  Session session(model, device, {.context = 20});
  const std::vector<TokenId> ids = {1, 2, 3};
  session.feed(ids);
  device.lose_at(device.counts().calls + 5);
  EXPECT_THROW(session.feed(ids), DeviceLost);
  EXPECT_THROW(session.feed(ids), DeviceLost);
}

}  // namespace
}  // namespace rotor::runtime
