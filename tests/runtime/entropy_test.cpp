// How sure a model is: entropy against distributions whose entropy is known, and the same means from a
// session and from a batch.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "runtime/engine/batcher.h"
#include "runtime/engine/log_probabilities.h"
#include "tests/support/chat_model.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime {
namespace {

using text::TokenId;

constexpr float kNever = -std::numeric_limits<float>::infinity();

TEST(Entropy, OfKnownDistributions) {
  EXPECT_EQ(entropy(std::vector<float>{3.0F}), 0.0);
  EXPECT_EQ(entropy(std::vector<float>{kNever, 7.0F, kNever}), 0.0);
  EXPECT_NEAR(entropy(std::vector<float>(1000, -4.0F)), std::log(1000.0), 1e-12);
  EXPECT_NEAR(entropy(std::vector<float>{80.0F, kNever, 80.0F, kNever}), std::log(2.0), 1e-12);
  // 1/2, 1/4, 1/8, 1/8: 1.75 bits. The logits are rounded to float, which moves it by about 1e-8.
  const auto ln = [](double p) { return static_cast<float>(std::log(p) + 50.0); };
  EXPECT_NEAR(entropy(std::vector<float>{ln(0.5), ln(0.25), ln(0.125), ln(0.125)}), 1.75 * std::log(2.0),
              1e-5);
  EXPECT_NEAR(entropy(std::vector<float>{1000.0F, 0.0F}), 0.0, 1e-300);
}

TEST(Entropy, IsThatOfItsDefinition) {
  test::Random random(17);
  for (const size_t size : {2U, 3U, 263U, 5000U}) {
    std::vector<float> logits(size);
    for (float& logit : logits) logit = 6.0F * random.normal();
    double expected = 0.0;
    for (size_t id = 0; id < size; ++id) {
      const double logprob = log_probabilities(logits, static_cast<TokenId>(id), 0).logprob;
      expected -= std::exp(logprob) * logprob;
    }
    EXPECT_NEAR(entropy(logits), expected, 1e-9);
  }
}

class EntropyTest : public ::testing::Test {
 protected:
  EntropyTest() {
    test::write_chat_model(files_.file("m.rotor"), 128);
    model_ = std::make_unique<LanguageModel>(files_.file("m.rotor"), LanguageModelOptions{.threads = 1});
  }
  /// By hand: the mean over `count` greedy tokens.
  double mean(const std::vector<TokenId>& prompt, int count) {
    Session session = model_->make_session({.kv = KvType::f32});
    std::span<const float> logits = session.feed(prompt);
    double sum = 0.0;
    for (int i = 0; i < count; ++i) {
      logits = logits.first(static_cast<size_t>(model_->vocab_size()));
      sum += entropy(logits);
      const auto id = static_cast<TokenId>(std::ranges::max_element(logits) - logits.begin());
      logits = session.feed({&id, 1});
    }
    return sum / count;
  }

  const test::TempDir files_;
  std::unique_ptr<LanguageModel> model_;
  const std::vector<TokenId> prompt_ = {5, 70, 3, 99, 12};
};

TEST_F(EntropyTest, GenerateTellsTheMeanOverItsTokens) {
  for (const int64_t count : {1, 8}) {
    Session session = model_->make_session({.kv = KvType::f32});
    Sampler sampler({.temperature = 0.0}, model_->vocab_size());
    const GenerateResult result =
        generate(feed_of(session), prompt_, sampler, nullptr, {.max_new_tokens = count, .entropy = true});
    EXPECT_NEAR(result.entropy.value(), mean(prompt_, static_cast<int>(count)), 1e-4);
  }
  Session session = model_->make_session({});
  Sampler sampler({.temperature = 0.0}, model_->vocab_size());
  EXPECT_FALSE(generate(feed_of(session), prompt_, sampler, nullptr, {.max_new_tokens = 2}).entropy);
}

TEST_F(EntropyTest, ABatchTellsTheSame) {
  Batcher batcher(*model_, {.session = {.kv = KvType::f32}, .max_sequences = 2, .draft_tokens = 4});
  BatchRequest request;
  request.prompt = prompt_;
  request.sampling.temperature = 0.0;
  request.max_new_tokens = 8;
  const auto finish = [&](const BatchRequest& wanted) {
    const auto text = batcher.submit(wanted);
    for (;;) {
      BatchProgress progress = text->wait(std::chrono::seconds(10));
      if (progress.finished) return progress;
    }
  };
  EXPECT_FALSE(finish(request).entropy);
  request.entropy = true;
  EXPECT_NEAR(finish(request).entropy.value(), mean(prompt_, 8), 1e-4);
  // A model that ends at once was sure or unsure of just that.
  const auto first = finish([&] {
    BatchRequest one = request;
    one.max_new_tokens = 1;
    return one;
  }());
  for (TokenId id = 0; id < model_->vocab_size(); ++id) request.stop_tokens.push_back(id);
  const BatchProgress ended = finish(request);
  EXPECT_EQ(ended.stop_reason, StopReason::stop_token);
  EXPECT_EQ(ended.usage.completion_tokens, 0);
  EXPECT_NEAR(ended.entropy.value(), first.entropy.value(), 1e-6);
}

}  // namespace
}  // namespace rotor::runtime
