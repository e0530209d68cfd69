// Every stage of sampling alone, with results computed by hand; then the chain, the draws and bad input.
#include "runtime/engine/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <set>

#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime {
namespace {

using text::TokenId;

constexpr float kInf = std::numeric_limits<float>::infinity();

/// Every stage off: the model's own distribution.
SamplerOptions plain() {
  return {.temperature = 1.0, .top_k = 0, .top_p = 1.0, .min_p = 0.0, .typical_p = 1.0};
}

/// Logits whose softmax is `probabilities`, up to a shift.
std::vector<float> logits_of(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p) + 3.0));
  return logits;
}

/// id -> probability of what is left.
std::map<TokenId, double> left(Sampler& sampler, const std::vector<float>& logits) {
  std::map<TokenId, double> result;
  for (const Candidate& c : sampler.candidates(logits)) result[c.id] = c.probability;
  return result;
}
std::map<TokenId, double> left(const SamplerOptions& options, const std::vector<float>& logits) {
  Sampler sampler(options, static_cast<int64_t>(logits.size()));
  return left(sampler, logits);
}

/// Logits are float: their exponentials are good to a few 1e-7.
void expect_left(const std::map<TokenId, double>& found, const std::map<TokenId, double>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [id, probability] : expected) {
    ASSERT_TRUE(found.contains(id)) << id;
    EXPECT_NEAR(found.at(id), probability, 1e-6) << id;
  }
}

const std::vector<float> kFive = logits_of({0.1, 0.4, 0.05, 0.25, 0.2});

TEST(Sampler, WithoutStagesIsTheSoftmax) {
  expect_left(left(plain(), kFive), {{0, 0.1}, {1, 0.4}, {2, 0.05}, {3, 0.25}, {4, 0.2}});
}

TEST(Sampler, TemperatureRaisesProbabilitiesToItsInverse) {
  SamplerOptions options = plain();
  options.temperature = 0.5;  // p^2 / sum of p^2
  expect_left(left(options, logits_of({0.5, 0.3, 0.2})), {{0, 25.0 / 38}, {1, 9.0 / 38}, {2, 4.0 / 38}});
  options.temperature = 1e-300;
  expect_left(left(options, logits_of({0.3, 0.5, 0.2})), {{0, 0}, {1, 1}, {2, 0}});
  options.temperature = 1e300;
  expect_left(left(options, logits_of({0.3, 0.5, 0.2})), {{0, 1.0 / 3}, {1, 1.0 / 3}, {2, 1.0 / 3}});
}

TEST(Sampler, TemperatureZeroTakesTheFirstOfTheLargest) {
  SamplerOptions options;
  options.temperature = 0.0;
  Sampler sampler(options, 4);
  EXPECT_EQ(sampler.sample(std::vector<float>{1, 3, 3, 2}), 1);
  EXPECT_EQ(sampler.sample(std::vector<float>{-kInf, -5, -kInf, -6}), 1);
  options.logit_bias = {{1, -1.5F}};
  options.typical_p = 0.1;
  EXPECT_EQ(Sampler(options, 4).sample(std::vector<float>{1, 3, 3, 2}), 2);
}

TEST(Sampler, TopKKeepsTheLargest) {
  SamplerOptions options = plain();
  options.top_k = 2;
  expect_left(left(options, kFive), {{1, 0.4 / 0.65}, {3, 0.25 / 0.65}});
  options.top_k = 1;
  expect_left(left(options, kFive), {{1, 1.0}});
  for (const int64_t all : {5, 6, 1000}) {
    options.top_k = all;
    EXPECT_EQ(left(options, kFive).size(), 5U);
  }
}

TEST(Sampler, TopKTakesTheLowerIdOfEquals) {
  SamplerOptions options = plain();
  options.top_k = 3;
  expect_left(left(options, std::vector<float>(100, 1.5F)), {{0, 1.0 / 3}, {1, 1.0 / 3}, {2, 1.0 / 3}});
  expect_left(left(options, {0, 1, 0, 1, 0, 0, 1, 1, 0}), {{1, 1.0 / 3}, {3, 1.0 / 3}, {6, 1.0 / 3}});
  expect_left(left(options, {-kInf, 2, -kInf, -kInf, -kInf}), {{1, 1.0}});
}

TEST(Sampler, TopKAgreesWithASort) {
  constexpr size_t kLargeVocab = 128256;
  test::Random random;
  std::vector<float> logits = random.normals(kLargeVocab);
  for (float& logit : logits) logit = std::round(logit * 50) / 50;  // many ties
  std::vector<TokenId> order(kLargeVocab);
  for (size_t i = 0; i < kLargeVocab; ++i) order[i] = static_cast<TokenId>(i);
  const auto value = [&](TokenId id) { return logits[static_cast<size_t>(id)]; };
  std::stable_sort(order.begin(), order.end(), [&](TokenId a, TokenId b) { return value(a) > value(b); });
  for (const size_t k : {size_t{1}, size_t{2}, size_t{40}, size_t{1000}, kLargeVocab / 2, kLargeVocab - 1}) {
    SamplerOptions options = plain();
    options.top_k = static_cast<int64_t>(k);
    Sampler sampler(options, kLargeVocab);
    const auto found = sampler.candidates(logits);
    ASSERT_EQ(found.size(), k);
    for (size_t i = 0; i < k; ++i) ASSERT_EQ(found[i].id, order[i]) << "k " << k << ", rank " << i;
  }
}

TEST(Sampler, TopPKeepsTheFewestThatReachIt) {
  SamplerOptions options = plain();
  options.top_p = 0.6;
  expect_left(left(options, kFive), {{1, 0.4 / 0.65}, {3, 0.25 / 0.65}});
  options.top_p = 0.66;
  expect_left(left(options, kFive), {{1, 0.4 / 0.85}, {3, 0.25 / 0.85}, {4, 0.2 / 0.85}});
  options.top_p = 0.0;
  expect_left(left(options, kFive), {{1, 1.0}});
  options.top_p = 0.5;  // reached exactly
  expect_left(left(options, {2, 2, 2, 2}), {{0, 0.5}, {1, 0.5}});
}

TEST(Sampler, TopPSortsAsFarAsItMust) {
  test::Random random;
  const std::vector<float> logits = random.normals(5000);
  double sum = 0;
  std::vector<std::pair<double, TokenId>> sorted;
  for (size_t i = 0; i < logits.size(); ++i) {
    sorted.emplace_back(-std::exp(static_cast<double>(logits[i])), static_cast<TokenId>(i));
    sum -= sorted.back().first;
  }
  std::sort(sorted.begin(), sorted.end());
  for (const double p : {0.01, 0.2, 0.5, 0.9, 0.999}) {
    size_t expected = 0;
    for (double kept = 0; kept < p * sum; ++expected) kept -= sorted[expected].first;
    SamplerOptions options = plain();
    options.top_p = p;
    Sampler sampler(options, 5000);
    const auto found = sampler.candidates(logits);
    ASSERT_EQ(found.size(), expected) << p;
    for (size_t i = 0; i < expected; ++i) ASSERT_EQ(found[i].id, sorted[i].second);
  }
}

TEST(Sampler, MinPKeepsAShareOfTheLargest) {
  SamplerOptions options = plain();
  options.min_p = 0.45;  // of 0.4: 0.18
  expect_left(left(options, kFive), {{1, 0.4 / 0.85}, {3, 0.25 / 0.85}, {4, 0.2 / 0.85}});
  options.min_p = 1.0;
  expect_left(left(options, {1, 3, 3, 2}), {{1, 0.5}, {2, 0.5}});
}

TEST(Sampler, TypicalKeepsWhatIsCloseToTheEntropy) {
  // Entropy of 0.5, 0.25, 0.125, 0.125: 1.75 bits; -log2 p is 1, 2, 3, 3, so the order is 1, 0, 2, 3.
  const auto logits = logits_of({0.5, 0.25, 0.125, 0.125});
  SamplerOptions options = plain();
  options.typical_p = 0.2;
  expect_left(left(options, logits), {{1, 1.0}});
  options.typical_p = 0.3;
  expect_left(left(options, logits), {{0, 2.0 / 3}, {1, 1.0 / 3}});
  options.typical_p = 0.8;
  expect_left(left(options, logits), {{0, 4.0 / 7}, {1, 2.0 / 7}, {2, 1.0 / 7}});
  options.typical_p = 0.9;
  EXPECT_EQ(left(options, logits).size(), 4U);
  expect_left(left(options, {1, -kInf, 1, -kInf}), {{0, 0.5}, {2, 0.5}});
}

TEST(Sampler, StagesComeInOrder) {
  // top-k 4 leaves 0.4 0.25 0.2 0.1 of 0.95; top-p 0.8 of that needs 0.76: 0.4 0.25 0.2; min-p 0.55 of 0.4 is
  // 0.22.
  const SamplerOptions options = {.temperature = 0.5, .top_k = 4, .top_p = 0.8, .min_p = 0.55};
  expect_left(left(options, kFive), {{1, 0.16 / 0.2225}, {3, 0.0625 / 0.2225}});
}

TEST(Sampler, LogitBiasShiftsAndBans) {
  SamplerOptions options = plain();
  options.logit_bias = {{0, static_cast<float>(std::log(3.0))}, {2, -kInf}};
  expect_left(left(options, logits_of({0.2, 0.4, 0.4})), {{0, 0.6}, {1, 0.4}});
  options.top_k = 2;
  expect_left(left(options, logits_of({0.2, 0.4, 0.4})), {{0, 0.6}, {1, 0.4}});
}

TEST(Sampler, RepeatPenaltyDividesPositiveAndMultipliesNegativeLogits) {
  SamplerOptions options = plain();
  options.repeat_penalty = 2.0;
  Sampler sampler(options, 4);
  for (const TokenId id : {0, 1, 2, 1}) sampler.accept(id);
  const auto found = sampler.candidates(std::vector<float>{3, -1, 0, 5});
  EXPECT_EQ(found[0].logit, 1.5F);
  EXPECT_EQ(found[1].logit, -2.0F);
  EXPECT_EQ(found[2].logit, 0.0F);
  EXPECT_EQ(found[3].logit, 5.0F);
}

TEST(Sampler, FrequencyPenaltyCountsAndPresencePenaltyDoesNot) {
  SamplerOptions options = plain();
  options.frequency_penalty = 0.5;
  options.presence_penalty = 0.25;
  Sampler sampler(options, 3);
  for (const TokenId id : {0, 2, 0, 0}) sampler.accept(id);
  for (int call = 0; call < 2; ++call) {  // looking at the penalties does not change them
    const auto found = sampler.candidates(std::vector<float>{1, 1, -1});
    EXPECT_EQ(found[0].logit, -0.75F);
    EXPECT_EQ(found[1].logit, 1.0F);
    EXPECT_EQ(found[2].logit, -1.75F);
  }
}

TEST(Sampler, PenaltiesLookAtTheLastTokens) {
  SamplerOptions options = plain();
  options.frequency_penalty = 1.0;
  for (const int64_t last_n : {-1, 0, 1, 3, 64}) {
    options.repeat_last_n = last_n;
    Sampler sampler(options, 3);
    std::vector<TokenId> text;
    for (int i = 0; i < 200; ++i) {
      text.push_back(i * i % 7 % 3);
      sampler.accept(text.back());
      std::vector<float> expected(3);
      for (size_t k = 0; k < text.size() && (last_n < 0 || std::cmp_less(k, last_n)); ++k) {
        expected[static_cast<size_t>(text[text.size() - 1 - k])] -= 1;
      }
      const auto found = sampler.candidates(std::vector<float>{0, 0, 0});
      for (size_t id = 0; id < 3; ++id) ASSERT_EQ(found[id].logit, expected[id]) << last_n << " " << i;
    }
  }
}

TEST(Sampler, DrawsFollowTheProbabilities) {
  const std::vector<double> probabilities = {0.1, 0.4, 0.05, 0.25, 0.2};
  SamplerOptions options = plain();
  options.seed = 12345;
  Sampler sampler(options, 5);
  constexpr int kDraws = 100000;
  std::vector<int> counts(5);
  for (int i = 0; i < kDraws; ++i) ++counts[static_cast<size_t>(sampler.sample(kFive))];
  double chi_square = 0;
  for (size_t i = 0; i < 5; ++i) {
    const double expected = kDraws * probabilities[i];
    chi_square += (counts[i] - expected) * (counts[i] - expected) / expected;
  }
  EXPECT_LT(chi_square, 18.47);  // 99.9 % quantile with 4 degrees of freedom; the seed is fixed
}

TEST(Sampler, SeedsDecide) {
  const auto draw = [](uint64_t seed) {
    SamplerOptions options;
    options.seed = seed;
    Sampler sampler(options, 1000);
    std::vector<TokenId> ids;
    for (int i = 0; i < 30; ++i) ids.push_back(sampler.sample(std::vector<float>(1000, 0.0F)));
    return ids;
  };
  EXPECT_EQ(draw(7), draw(7));
  EXPECT_NE(draw(7), draw(8));
  EXPECT_NE(draw(7), draw(7 + (uint64_t{1} << 40)));
}

TEST(Sampler, DrawsAreTheSameOnEveryMachine) {
  // The standard fixes mt19937_64: its 10,000th number with the default seed is 9981545732273789042. Of ten
  // equal tokens, 0.54... is number 5.
  SamplerOptions options = plain();
  options.seed = std::mt19937_64::default_seed;
  Sampler sampler(options, 10);
  const std::vector<float> logits(10, 1.0F);
  for (int i = 1; i < 10000; ++i) sampler.sample(logits);
  EXPECT_EQ(sampler.sample(logits), 5);
}

TEST(Sampler, ASampleIsNeverABannedToken) {
  SamplerOptions options = plain();
  options.logit_bias = {{1, -kInf}};
  Sampler sampler(options, 3);
  std::set<TokenId> seen;
  for (int i = 0; i < 200; ++i) seen.insert(sampler.sample(std::vector<float>{0, 9, -1}));
  EXPECT_EQ(seen, (std::set<TokenId>{0, 2}));
}

// Whatever the options are: the logits that are not wanted may as well be -inf.
TEST(Sampler, WantedLogitsAreEnough) {
  constexpr int64_t kVocabulary = 200;
  test::Random random(5);
  int64_t spared = 0;
  for (int trial = 0; trial < 300; ++trial) {
    SamplerOptions options;
    options.seed = static_cast<uint64_t>(trial);
    options.temperature = trial % 4 == 0 ? 0.0 : 0.9;
    options.top_k = random.integer(0, 20);
    options.repeat_penalty = trial % 3 == 0 ? 1.0 : 0.5 + 0.1 * static_cast<double>(random.integer(0, 20));
    options.presence_penalty = trial % 5 == 0 ? 2.0 : 0.0;
    options.frequency_penalty = trial % 7 == 0 ? -1.5 : 0.0;
    options.typical_p = trial % 6 == 0 ? 0.7 : 1.0;
    for (int64_t i = random.integer(0, 5); i > 0; --i) {
      options.logit_bias[static_cast<TokenId>(random.integer(0, kVocabulary - 1))] =
          i == 2 ? -kInf : 3.0F * random.normal();
    }
    Sampler whole(options, kVocabulary);
    Sampler screened(options, kVocabulary);
    for (int step = 0; step < 5; ++step) {
      const std::vector<float> logits = random.normals(kVocabulary);
      const WantedLogits wanted = screened.wanted();
      std::vector<float> masked = logits;
      if (wanted.count > 0) {
        EXPECT_EQ(wanted.limit, kVocabulary);
        std::vector<float> sorted = logits;
        std::ranges::sort(sorted, std::greater<>());
        for (size_t id = 0; id < masked.size(); ++id) {
          const bool is_wanted = logits[id] >= sorted[static_cast<size_t>(wanted.count - 1)] ||
                                 std::ranges::find(wanted.ids, static_cast<TokenId>(id)) != wanted.ids.end();
          if (is_wanted) continue;
          masked[id] = -kInf;
          ++spared;
        }
      }
      const TokenId id = whole.sample(logits);
      EXPECT_EQ(screened.sample(masked), id) << trial;
      whole.accept(id);
      screened.accept(id);
    }
  }
  EXPECT_GT(spared, 1000 * kVocabulary / 2);
}

TEST(Sampler, AllLogitsAreWantedWithoutTopK) {
  SamplerOptions options;
  options.top_k = 0;
  EXPECT_EQ(Sampler(options, 100).wanted().count, 0);
  options.top_k = 100;
  EXPECT_EQ(Sampler(options, 100).wanted().count, 0);
  options.top_k = 99;
  EXPECT_EQ(Sampler(options, 100).wanted().count, 99);
  options.temperature = 0.0;
  EXPECT_EQ(Sampler(options, 100).wanted().count, 1);
}

TEST(Sampler, BadLogitsAreErrors) {
  Sampler sampler({}, 3);
  test::expect_error([&] { sampler.sample(std::vector<float>{1, NAN, 2}); }, {"token 1", "nan"});
  test::expect_error([&] { sampler.sample(std::vector<float>{1, 2, kInf}); }, {"token 2", "inf"});
  test::expect_error([&] { sampler.sample(std::vector<float>(3, -kInf)); }, {"every token is banned"});
  test::expect_error([&] { sampler.sample(std::vector<float>{1, 2}); }, {"expected 3 logits, found 2"});
  test::expect_error([&] { sampler.accept(3); }, {"0 to 2", "found 3"});
  test::expect_error([&] { sampler.accept(-1); }, {"found -1"});
}

TEST(Sampler, BadOptionsAreErrors) {
  const auto expect = [](const SamplerOptions& options, const std::vector<std::string>& parts) {
    test::expect_error([&] { Sampler(options, 10); }, parts);
  };
  expect({.temperature = -0.1}, {"temperature", "-0.1"});
  expect({.temperature = NAN}, {"temperature", "nan"});
  expect({.top_k = -1}, {"top_k", "-1"});
  expect({.top_p = 1.5}, {"top_p", "0 to 1", "1.5"});
  expect({.min_p = -0.5}, {"min_p", "-0.5"});
  expect({.typical_p = 2}, {"typical_p", "2"});
  expect({.repeat_penalty = 0}, {"repeat_penalty", "above 0"});
  expect({.repeat_last_n = -2}, {"repeat_last_n", "-2"});
  expect({.frequency_penalty = NAN}, {"frequency_penalty"});
  expect({.presence_penalty = INFINITY}, {"presence_penalty"});
  expect({.logit_bias = {{10, 1.0F}}}, {"logit_bias", "0 to 9", "10"});
  expect({.logit_bias = {{3, kInf}}}, {"logit_bias of token 3", "inf"});
  expect({.logit_bias = {{3, NAN}}}, {"logit_bias of token 3", "nan"});
}

}  // namespace
}  // namespace rotor::runtime
