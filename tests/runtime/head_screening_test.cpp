// The head that reads less against the whole one: on hostile heads and inputs, for every kernel set, and in a
// session.
#include "runtime/engine/head_screening.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "rotor/core/screening.h"
#include "rotor/core/tiles.h"
#include "rotor/kernels/kernels.h"
#include "runtime/backends/cpu/cpu_screened_head.h"
#include "runtime/engine/language_model.h"
#include "tests/kernels/kernel_set_test.h"
#include "tests/support/models.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime {
namespace {

using text::TokenId;

constexpr float kNotRead = -std::numeric_limits<float>::infinity();

/// A head in int8 and its copy.
struct Head {
  Head(const std::vector<float>& values, int64_t rows)
      : codes(values.size()), scales(static_cast<size_t>(rows)) {
    const size_t cols = values.size() / scales.size();
    std::vector<int8_t> trits(values.size());
    for (size_t r = 0; r < scales.size(); ++r) {
      scales[r] =
          quantize_q8(std::span(values).subspan(r * cols, cols), std::span(codes).subspan(r * cols, cols));
    }
    ScreeningSums sums(cols);
    sums.add(codes, scales);
    columns = sums.columns();
    for (size_t r = 0; r < scales.size(); ++r) {
      const ScreeningRow of_row = screen_row(std::span(codes).subspan(r * cols, cols), scales[r], columns,
                                             std::span(trits).subspan(r * cols, cols));
      screen_scales.push_back(of_row.scale);
      errors.push_back(of_row.error);
    }
    tiles.resize(tile_bytes(scales.size(), cols));
    pack_tiles(trits, scales.size(), cols, tiles);
    const auto width = static_cast<int64_t>(cols);
    weights.rows = rows;
    weights.cols = width;
    weights.dense = {rows, width, DenseType::q8, reinterpret_cast<const uint8_t*>(codes.data()), scales};
    screened = {&weights, {{rows, width, 1.0F, tiles}, screen_scales, errors, columns.mean, columns.spread}};
  }
  Head(const Head&) = delete;

  std::vector<int8_t> codes;
  std::vector<float> scales, screen_scales, errors;
  ScreeningColumns columns;
  std::vector<uint8_t> tiles;
  LinearWeights weights;
  ScreenedHead screened;
};

Tensor tensor_of(Backend& backend, const std::vector<float>& values) {
  const Tensor tensor = backend.allocate(1, static_cast<int64_t>(values.size()));
  backend.upload(values, tensor);
  return tensor;
}

std::vector<float> values_of(Backend& backend, const Tensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.rows * tensor.cols));
  backend.download(tensor, values);
  return values;
}

class ScreenedHeadTest : public kernels::KernelSetTest {
 protected:
  static constexpr int64_t kRows = 4003;
  static constexpr size_t kCols = 96;

  /// Logits that screening gives, empty if it gave up; the same for 1 and 3 threads.
  std::vector<float> screened(const Head& head, const std::vector<float>& x, const WantedLogits& wanted) {
    std::vector<std::vector<float>> found;
    for (const int64_t threads : {1, 3}) {
      ThreadPool pool(threads);
      const Tensor y = backend_->allocate(1, head.weights.rows);
      rows_ = cpu_screened_head(kernels_, pool, tensor_of(*backend_, x), head.screened, wanted, y);
      found.push_back(rows_ == 0 ? std::vector<float>() : values_of(*backend_, y));
    }
    EXPECT_EQ(found[0], found[1]);
    return found[0];
  }
  std::vector<float> whole(const Head& head, const std::vector<float>& x) {
    const Tensor y = backend_->allocate(1, head.weights.rows);
    const Projection projection{&head.weights, y};
    backend_->linear(tensor_of(*backend_, x), {}, {&projection, 1});
    return values_of(*backend_, y);
  }

  std::unique_ptr<Backend> backend_ = make_backend("cpu");
  int64_t rows_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Kernels, ScreenedHeadTest, ::testing::ValuesIn(kernels::runnable_sets()));

TEST_P(ScreenedHeadTest, TheLargestAreThereToTheBit) {
  test::Random random(1);
  const std::vector<float> common = random.normals(kCols);
  for (const float hostile : {0.0F, 1.0F}) {
    std::vector<float> values = random.normals(static_cast<size_t>(kRows) * kCols);
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] += hostile * common[i % kCols];
      if (hostile > 0 && i % kCols == 5) values[i] *= 0.01F;  // trained heads have such columns,
    }
    const Head head(values, kRows);
    int64_t read = 0;
    int64_t answered = 0;
    for (int trial = 0; trial < 60; ++trial) {
      std::vector<float> x = random.normals(kCols);
      for (size_t c = 0; c < kCols; ++c) x[c] += hostile * common[c];
      if (hostile > 0) x[5] *= 100.0F;  // and hidden states such channels
      // A model is sure of some tokens.
      if (trial % 2 == 0) {
        const auto sure = static_cast<size_t>(random.integer(0, kRows - 1));
        for (size_t c = 0; c < kCols; ++c) x[c] += values[sure * kCols + c];
      }
      const std::vector<float> all = whole(head, x);
      std::vector<float> sorted = all;
      std::ranges::sort(sorted, std::greater<>());
      for (const int64_t count : {1, 5}) {
        const std::vector<float> found = screened(head, x, {count, {}, kRows});
        if (found.empty()) continue;
        ++answered;
        read += rows_;
        int64_t there = 0;
        for (size_t r = 0; r < all.size(); ++r) {
          if (all[r] >= sorted[static_cast<size_t>(count - 1)]) {
            EXPECT_EQ(found[r], all[r]) << r;
          }
          if (found[r] != kNotRead) {
            EXPECT_EQ(found[r], all[r]) << r;
            ++there;
          }
        }
        EXPECT_LE(there, rows_);
        EXPECT_GE(there + 16, rows_) << "only a control row that is tried, too, is read twice";
      }
    }
    EXPECT_GT(answered, 60);
    EXPECT_LT(read, answered * kRows / 3);
  }
}

TEST_P(ScreenedHeadTest, LimitsAndIdsAreRespected) {
  test::Random random(2);
  const Head head(random.normals(static_cast<size_t>(kRows) * kCols), kRows);
  const std::vector<float> x = random.normals(kCols);
  const std::vector<float> all = whole(head, x);
  const auto smallest = static_cast<int32_t>(std::ranges::min_element(all) - all.begin());
  for (const int64_t limit : {2000, 2001, 4003}) {
    const std::vector<float> found = screened(head, x, {3, {&smallest, 1}, limit});
    ASSERT_FALSE(found.empty());
    EXPECT_EQ(found[static_cast<size_t>(smallest)], all[static_cast<size_t>(smallest)]);
    const auto best = std::ranges::max_element(all.begin(), all.begin() + limit);
    EXPECT_EQ(found[static_cast<size_t>(best - all.begin())], *best);
    for (auto r = static_cast<size_t>(limit); r < found.size(); ++r) {
      if (std::cmp_not_equal(r, smallest)) {
        EXPECT_EQ(found[r], kNotRead) << r;
      }
    }
  }
}

TEST_P(ScreenedHeadTest, GivesUpWhereItCannotPay) {
  test::Random random(3);
  const std::vector<float> x = random.normals(kCols);
  const Head head(random.normals(static_cast<size_t>(kRows) * kCols), kRows);
  EXPECT_TRUE(screened(head, x, {3000, {}, kRows}).empty());  // nearly all of them
  std::vector<float> not_finite = x;
  not_finite[7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(screened(head, not_finite, {1, {}, kRows}).empty());
  EXPECT_TRUE(screened(head, std::vector<float>(kCols), {1, {}, kRows}).empty());  // all logits are 0
  const std::vector<float> one_row = random.normals(kCols);
  std::vector<float> rows;
  for (int64_t r = 0; r < kRows; ++r) rows.insert(rows.end(), one_row.begin(), one_row.end());
  EXPECT_TRUE(screened(Head(rows, kRows), x, {1, {}, kRows}).empty());  // all logits are equal
  EXPECT_TRUE(screened(Head(random.normals(100 * kCols), 100), x, {1, {}, 100}).empty());  // a small head
}

TEST_P(ScreenedHeadTest, RowsOfZerosDoNoHarm) {
  test::Random random(4);
  std::vector<float> values = random.normals(static_cast<size_t>(kRows) * kCols);
  for (size_t i = 0; i < 100 * kCols; ++i) values[i] = 0.0F;  // rows of untrained tokens
  const Head head(values, kRows);
  std::vector<float> x = random.normals(kCols);
  for (size_t c = 0; c < kCols; ++c) x[c] += values[3000 * kCols + c];
  const std::vector<float> found = screened(head, x, {1, {}, kRows});
  ASSERT_FALSE(found.empty());
  EXPECT_EQ(std::ranges::max_element(found) - found.begin(), 3000);
}

/// A model with a head large enough to be screened.
class ScreeningSessionTest : public ::testing::Test {
 protected:
  ScreeningSessionTest() {
    ModelConfig config = test::small_transformer();
    config.transformer.vocab_size = 5000;
    config.transformer.hidden_size = 64;
    config.transformer.head_dim = 16;
    test::write_random_model(dir_.file("screened.rotor"), config, 1, {DenseType::q8, true});
    test::write_random_model(dir_.file("plain.rotor"), config, 1, DenseType::q8);
  }

  test::TempDir dir_;
};

TEST_F(ScreeningSessionTest, GeneratesTheSameTokens) {
  const LanguageModel model(dir_.file("screened.rotor"));
  const std::vector<TokenId> prompt = {1, 2, 3};
  for (const double temperature : {0.0, 0.7}) {
    std::vector<std::vector<TokenId>> ids;
    for (const auto mode : {HeadScreeningMode::off, HeadScreeningMode::on, HeadScreeningMode::automatic}) {
      SamplerOptions options;
      options.temperature = temperature;
      options.top_k = 5;
      options.repeat_penalty = 1.2;
      options.seed = 3;
      Sampler sampler(options, model.vocab_size());
      Session session = model.make_session({.context = 60, .head_screening = mode});
      ids.push_back(generate(feed_of(session), prompt, sampler, nullptr, {.max_new_tokens = 50}).ids);
      const HeadScreening::Statistics& statistics = session.head_statistics();
      EXPECT_EQ(statistics.tokens, 50);
      EXPECT_EQ(statistics.attempts > 0, mode != HeadScreeningMode::off);
      EXPECT_EQ(statistics.rows < 50 * 5000, mode != HeadScreeningMode::off);
      if (mode == HeadScreeningMode::automatic) {
        EXPECT_LT(statistics.attempts, 50) << "the whole head is timed, too";
      }
    }
    EXPECT_EQ(ids[0].size(), 50U);
    EXPECT_EQ(ids[1], ids[0]);
    EXPECT_EQ(ids[2], ids[0]);
  }
}

TEST_F(ScreeningSessionTest, IsOffWithoutACopyUnlessItIsDemanded) {
  const LanguageModel model(dir_.file("plain.rotor"));
  Session session = model.make_session({.context = 8});
  const TokenId id = 1;
  for (const float logit : session.feed({&id, 1}, {1, {}, 5000})) EXPECT_TRUE(std::isfinite(logit));
  EXPECT_EQ(session.head_statistics().attempts, 0);
  test::expect_error(
      [&] { static_cast<void>(model.make_session({.context = 8, .head_screening = HeadScreeningMode::on})); },
      {"holds no copy of its head", "rotor-export --head q8 --head-screening on"});
}

TEST_F(ScreeningSessionTest, AllLogitsComeIfAllAreWanted) {
  const LanguageModel model(dir_.file("screened.rotor"));
  Session session = model.make_session({.context = 8, .head_screening = HeadScreeningMode::on});
  const TokenId id = 1;
  for (const float logit : session.feed({&id, 1})) EXPECT_TRUE(std::isfinite(logit));
  EXPECT_EQ(session.head_statistics().attempts, 0);
}

TEST_F(ScreeningSessionTest, TheCheckCountsMissesAndRows) {
  const LanguageModel model(dir_.file("screened.rotor"));
  Session session = model.make_session({.context = 60});
  std::vector<TokenId> ids(60);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<TokenId>(i * 7 % 5000);
  std::vector<ScreeningCheck> checks = {{.count = 1}, {.count = 4}};
  int64_t seen = 0;
  session.check_screening(ids, checks,
                          [&](int64_t index, std::span<const float>) { EXPECT_EQ(index, seen++); });
  EXPECT_EQ(seen, 60);
  for (const ScreeningCheck& check : checks) {
    EXPECT_EQ(check.tokens, 60);
    EXPECT_EQ(check.misses, 0);
    EXPECT_LT(check.share_read(5000), 0.5);
  }
  ScreeningCheck check{.count = 2};
  const std::vector<float> all = {1, 5, 3, 4};
  check.add(all, std::vector<float>{kNotRead, 5, kNotRead, 4}, 2);
  EXPECT_EQ(check.misses, 0);
  check.add(all, std::vector<float>{1, 5, 3, kNotRead}, 3);
  check.add(all, std::vector<float>{1, 5, 3, 4.5F}, 4);
  EXPECT_EQ(check.misses, 2);
  check.add(all, {}, 0);
  EXPECT_EQ(check.whole, 1);
  EXPECT_EQ(check.rows, 2 + 3 + 4 + 4);
}

}  // namespace
}  // namespace rotor::runtime
