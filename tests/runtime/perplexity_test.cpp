// The protocol on a text of a dozen tokens, worked out by hand.
#include "runtime/engine/perplexity.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/temp_dir.h"

namespace rotor::runtime {
namespace {

using text::TokenId;

/// Gives every token of `probabilities` its probability, whatever came before; notes what was computed.
struct UnigramModel {
  std::vector<double> probabilities;
  std::vector<std::vector<TokenId>> chunks;
  std::vector<int64_t> firsts;
  int64_t give_up_in_chunk = -1;

  ComputeChunk model() {
    return [this](std::span<const TokenId> tokens, int64_t first, const OnLogits& on_logits) {
      chunks.emplace_back(tokens.begin(), tokens.end());
      firsts.push_back(first);
      std::vector<float> logits;
      for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p) - 40.0));
      for (int64_t i = first; i < std::ssize(tokens); ++i) {
        if (give_up_in_chunk == std::ssize(chunks) - 1 && i > first) return false;
        on_logits(i, logits);
      }
      return true;
    };
  }
};

TEST(Perplexity, ScoresTheSecondHalfOfEachChunk) {
  UnigramModel model = {{0.5, 0.25, 0.125, 0.125}};
  // Two chunks of 6 and one token over. Scored are tokens 4 and 5 of each: (0, 1) and (2, 0).
  const std::vector<TokenId> tokens = {3, 1, 1, 1, 0, 1, 2, 2, 2, 2, 2, 0, 1};
  const PerplexityResult result = perplexity(model.model(), tokens, {.context = 6, .bos = 3});
  EXPECT_EQ(model.chunks, (std::vector<std::vector<TokenId>>{{3, 1, 1, 1, 0}, {3, 2, 2, 2, 2}}));
  EXPECT_EQ(model.firsts, (std::vector<int64_t>{3, 3}));
  EXPECT_EQ(result.chunks, 2);
  EXPECT_EQ(result.tokens, 4);
  // In bits: 1, 2, 3, 1. Mean 1.75, mean of squares 3.75, variance 0.6875, standard error sqrt(0.6875 / 3)
  // bits.
  const double bit = std::log(2.0);
  EXPECT_NEAR(result.nll(), 1.75 * bit, 1e-6);
  EXPECT_NEAR(result.perplexity(), std::exp2(1.75), 1e-5);
  EXPECT_NEAR(result.std_error(), std::sqrt(0.6875 / 3) * bit * std::exp2(1.75), 1e-5);
}

TEST(Perplexity, AnOddContextHasItsSmallerHalfFirst) {
  UnigramModel model = {{0.5, 0.5}};
  const PerplexityResult result = perplexity(model.model(), std::vector<TokenId>(10), {.context = 5});
  EXPECT_EQ(model.firsts, (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(result.tokens, 4);
  EXPECT_NEAR(result.perplexity(), 2.0, 1e-12);
  EXPECT_NEAR(result.std_error(), 0.0, 1e-7);
}

TEST(Perplexity, WithoutBosTheTextStays) {
  UnigramModel model = {{0.5, 0.5}};
  perplexity(model.model(), std::vector<TokenId>{1, 0, 0, 0}, {.context = 4});
  EXPECT_EQ(model.chunks.at(0), (std::vector<TokenId>{1, 0, 0}));
}

TEST(Perplexity, StopsAtTheLimitAndWhenAsked) {
  UnigramModel model = {{0.5, 0.5}};
  const std::vector<TokenId> tokens(100);
  EXPECT_EQ(perplexity(model.model(), tokens, {.context = 8}).chunks, 12);
  EXPECT_EQ(perplexity(model.model(), tokens, {.context = 8, .max_chunks = 3}).chunks, 3);
  EXPECT_EQ(perplexity(model.model(), tokens, {.context = 8, .max_chunks = 50}).chunks, 12);
  int64_t total = 0;
  const auto result = perplexity(
      model.model(), tokens, {.context = 8, .on_chunk = [&](const PerplexityResult& so_far, int64_t chunks) {
                                total = chunks;
                                return so_far.chunks < 5;
                              }});
  EXPECT_EQ(result.chunks, 5);
  EXPECT_EQ(total, 12);
  UnigramModel impatient = {{0.5, 0.5}};
  impatient.give_up_in_chunk = 2;
  const auto whole_chunks = perplexity(impatient.model(), tokens, {.context = 8});
  EXPECT_EQ(whole_chunks.chunks, 2);
  EXPECT_EQ(whole_chunks.tokens, 6);
}

TEST(Perplexity, LogSoftmaxIsExactWhereFloatWouldOverflow) {
  const std::vector<float> logits = {1000.0F, 999.0F, -1000.0F};
  const double log_sum = std::log1p(std::exp(-1.0));
  EXPECT_NEAR(negative_log_likelihood(logits, 0), log_sum, 1e-15);
  EXPECT_NEAR(negative_log_likelihood(logits, 1), 1 + log_sum, 1e-15);
  EXPECT_NEAR(negative_log_likelihood(logits, 2), 2000 + log_sum, 1e-12);
  EXPECT_EQ(negative_log_likelihood(std::vector<float>{0, -INFINITY}, 1), INFINITY);
}

TEST(Perplexity, BadInputIsAnError) {
  UnigramModel model = {{0.5, 0.5}};
  const std::vector<TokenId> tokens(10);
  test::expect_error([&] { perplexity(model.model(), tokens, {.context = 11}); }, {"11 tokens", "found 10"});
  test::expect_error([&] { perplexity(model.model(), tokens, {.context = 3}); }, {"context", "found 3"});
  test::expect_error([&] { perplexity(model.model(), tokens, {.max_chunks = 0}); }, {"chunks", "found 0"});
  test::expect_error([&] { perplexity(model.model(), std::vector<TokenId>(8, 2), {.context = 8}); },
                     {"token id", "0 to 1", "found 2"});
  UnigramModel broken = {{0.5, NAN}};
  test::expect_error([&] { perplexity(broken.model(), tokens, {.context = 8}); },
                     {"chunk 0", "token 4", "NaN"});
}

}  // namespace
}  // namespace rotor::runtime
