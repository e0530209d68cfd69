// The rotation by its definition, and what the estimates of screening promise of their errors.
#include "rotor/core/screening.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <numeric>
#include <vector>

#include "rotor/core/dense.h"
#include "tests/support/random.h"

namespace rotor {
namespace {

double product(const std::vector<float>& a, const std::vector<float>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

/// The definition, in double.
std::vector<double> rotated_slowly(const std::vector<float>& values) {
  // The first outputs of SplitMix64 for seed 0, as published with it.
  const uint64_t words[] = {0xE220A8397B1DCDAFU, 0x6E789E6AA1B965F4U, 0x06C45D188009454FU,
                            0xF88BB8A8724C81ECU};
  std::vector<double> turned(values.begin(), values.end());
  const size_t size = std::bit_floor(values.size());
  const size_t words_of_one = (values.size() + 63) / 64;
  for (const size_t start : {size_t{0}, values.size() - size}) {
    const size_t first_word = start == 0 ? 0 : words_of_one;
    for (size_t i = 0; i < values.size(); ++i) {
      if ((words[first_word + i / 64] >> i % 64 & 1) != 0) turned[i] = -turned[i];
    }
    const std::vector<double> before = turned;
    for (size_t i = 0; i < size; ++i) {
      double sum = 0;
      for (size_t j = 0; j < size; ++j) {
        sum += (std::popcount(i & j) % 2 != 0 ? -1.0 : 1.0) * before[start + j];
      }
      turned[start + i] = sum / std::sqrt(static_cast<double>(size));
    }
    if (size == values.size()) break;
  }
  return turned;
}

TEST(Rotation, IsTheHadamardTransformOfRandomSigns) {
  for (const size_t size : {1, 2, 3, 7, 64, 96}) {
    const std::vector<float> values = test::Random(1).normals(size);
    std::vector<float> rotated = values;
    rotate(rotated);
    const std::vector<double> expected = rotated_slowly(values);
    for (size_t i = 0; i < size; ++i) EXPECT_NEAR(rotated[i], expected[i], 1e-5) << size << " " << i;
  }
}

TEST(Rotation, KeepsScalarProducts) {
  test::Random random(2);
  for (const size_t size : {1, 7, 40, 96, 2560}) {
    std::vector<float> a = random.normals(size);
    std::vector<float> b = random.normals(size);
    const double expected = product(a, b);
    rotate(a);
    rotate(b);
    EXPECT_NEAR(product(a, b), expected, 1e-5 * static_cast<double>(size)) << size;
  }
}

TEST(ScreeningColumns, AreMeanAndDeviationOfTheValues) {
  // Rows 2, 4, 6 and 3, 4, -6 in steps of 0.5 and 2.
  const std::vector<int8_t> codes = {4, 8, 12, 1, 2, -3};
  ScreeningSums sums(3);
  sums.add(std::span(codes).first(3), std::vector<float>{0.5F});
  ScreeningSums rest(3);
  rest.add(std::span(codes).last(3), std::vector<float>{2.0F});
  sums.add(rest);
  const ScreeningColumns columns = sums.columns();
  EXPECT_EQ(columns.mean, (std::vector<float>{2.0F, 4.0F, 0.0F}));
  EXPECT_EQ(columns.spread, (std::vector<float>{0.0F, 0.0F, 6.0F}));
}

TEST(ScreeningRow, OfTheMeanRowIsZero) {
  const std::vector<int8_t> codes = {4, -8, 12, 1};
  const ScreeningColumns columns{
      {2.0F, -4.0F, 6.0F, 100.0F}, {1.0F, 2.0F, 3.0F, 0.0F}, {1.0F, 0.5F, 1.0F / 3, 0.0F}};
  std::vector<int8_t> trits(4, 7);
  const ScreeningRow row = screen_row(codes, 0.5F, columns, trits);
  EXPECT_EQ(row.scale, 0.0F);
  EXPECT_EQ(row.error, 0.0F);
  EXPECT_EQ(trits, std::vector<int8_t>(4));
}

TEST(ScreeningRow, EstimatesItsOwnDirectionExactly) {
  const std::vector<int8_t> codes = test::Random(3).bytes(256);
  const ScreeningColumns columns{std::vector<float>(256, 0.25F), std::vector<float>(256, 2.0F),
                                 std::vector<float>(256, 0.5F)};
  std::vector<float> v;
  for (const int8_t code : codes) v.push_back((0.1F * static_cast<float>(code) - 0.25F) / 2.0F);
  std::vector<int8_t> trits(256);
  const ScreeningRow row = screen_row(codes, 0.1F, columns, trits);
  const std::vector<float> t(trits.begin(), trits.end());
  std::vector<float> u(256);
  std::vector<float> x;
  for (const float value : v) x.push_back(value / 2.0F);  // so that u, before it is rotated, is v
  const float shift = screening_input(x, columns.mean, columns.spread, u);
  EXPECT_NEAR(shift, 0.25 * std::accumulate(x.begin(), x.end(), 0.0), 1e-4);
  EXPECT_NEAR(static_cast<double>(row.scale) * product(t, u), product(v, v), 1e-5 * product(v, v));
}

// Weights and inputs of every kind that language models have: the errors are as large as foretold, half as
// large as the differences between the logits, and spread like a normal distribution.
class ScreeningWidthTest : public ::testing::TestWithParam<size_t> {};

INSTANTIATE_TEST_SUITE_P(Widths, ScreeningWidthTest, ::testing::Values(40, 200, 257, 512));

TEST_P(ScreeningWidthTest, ErrorsAreAsForetold) {
  const size_t kCols = GetParam();
  constexpr size_t kRows = 4000;
  struct Kind {
    const char* name;
    float heavy_weights, common, outliers;
  };
  for (const Kind& kind : {Kind{"normal", 0, 0, 0}, Kind{"heavy tails", 8, 0, 0},
                           Kind{"what all rows and inputs share", 0, 3, 0},
                           Kind{"outlier channels", 0, 0, 100}, Kind{"all of them", 8, 3, 100}}) {
    SCOPED_TRACE(kind.name);
    test::Random random(4);
    const std::vector<float> common = random.normals(kCols);
    std::vector<float> x = random.normals(kCols);
    for (size_t c = 0; c < kCols; ++c) x[c] += kind.common * common[c];
    const size_t channels[] = {3, kCols / 2, kCols - 1};
    for (const size_t channel : channels) x[channel] *= 1 + kind.outliers;
    std::vector<int8_t> codes(kRows * kCols);
    std::vector<float> scales(kRows);
    for (size_t r = 0; r < kRows; ++r) {
      std::vector<float> w = random.normals(kCols);
      for (size_t c = 0; c < kCols; ++c) w[c] += kind.common * common[c];
      w[static_cast<size_t>(random.integer(0, kCols - 1))] *= 1 + kind.heavy_weights;
      for (const size_t channel : channels) w[channel] /= 1 + kind.outliers;
      scales[r] = quantize_q8(w, std::span(codes).subspan(r * kCols, kCols));
    }
    ScreeningSums sums(kCols);
    sums.add(codes, scales);
    const ScreeningColumns columns = sums.columns();
    std::vector<float> u(kCols);
    const double shift = static_cast<double>(screening_input(x, columns.mean, columns.spread, u));
    const double length = std::sqrt(product(u, u));
    double squares = 0;
    double sum = 0;
    double largest = 0;
    double error_squares = 0;
    double difference_squares = 0;
    for (size_t r = 0; r < kRows; ++r) {
      const auto row = std::span(codes).subspan(r * kCols, kCols);
      double logit = 0;
      for (size_t c = 0; c < kCols; ++c)
        logit += row[c] * static_cast<double>(scales[r]) * static_cast<double>(x[c]);
      std::vector<int8_t> trits(kCols);
      const ScreeningRow of_row = screen_row(row, scales[r], columns, trits);
      const std::vector<float> t(trits.begin(), trits.end());
      const double error = logit - shift - static_cast<double>(of_row.scale) * product(t, u);
      const double deviations = error / (static_cast<double>(of_row.error) * length);
      squares += deviations * deviations;
      sum += deviations;
      largest = std::max(largest, std::fabs(deviations));
      error_squares += error * error;
      difference_squares += (logit - shift) * (logit - shift);
    }
    EXPECT_NEAR(std::sqrt(squares / kRows), 1.0, 0.1);
    EXPECT_NEAR(sum / kRows, 0.0, 0.2);
    EXPECT_LT(largest, 5.0);  // of 4000 draws of a normal distribution about 3.7
    EXPECT_NEAR(std::sqrt(error_squares / difference_squares), 0.5, 0.1);
  }
}

// One channel of the input is large in rows that are large there: they win by it, and their estimates must
// not fall short because of it.
TEST_P(ScreeningWidthTest, RowsThatWinByOneChannelAreNotUnderestimated) {
  const size_t cols = GetParam();
  constexpr size_t kRows = 500;
  for (const float weight : {5.0F, 7.0F, 9.0F}) {
    test::Random random(6);
    std::vector<int8_t> codes(kRows * cols);
    std::vector<float> scales(kRows);
    for (size_t r = 0; r < kRows; ++r) {
      std::vector<float> w = random.normals(cols);
      if (r == 0) w[7] = weight;
      scales[r] = quantize_q8(w, std::span(codes).subspan(r * cols, cols));
    }
    ScreeningSums sums(cols);
    sums.add(codes, scales);
    const ScreeningColumns columns = sums.columns();
    std::vector<float> x = random.normals(cols);
    x[7] = 60.0F;
    std::vector<float> u(cols);
    const double shift = static_cast<double>(screening_input(x, columns.mean, columns.spread, u));
    double logit = 0;
    for (size_t c = 0; c < cols; ++c) {
      logit += codes[c] * static_cast<double>(scales[0]) * static_cast<double>(x[c]);
    }
    std::vector<int8_t> trits(cols);
    const ScreeningRow row = screen_row(std::span(codes).first(cols), scales[0], columns, trits);
    const std::vector<float> t(trits.begin(), trits.end());
    const double error = logit - shift - static_cast<double>(row.scale) * product(t, u);
    EXPECT_LT(error / (static_cast<double>(row.error) * std::sqrt(product(u, u))), 4.0) << weight;
  }
}

}  // namespace
}  // namespace rotor
