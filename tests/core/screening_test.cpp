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

TEST(Rotation, BlocksAreTheLargestPowersOfTwo) {
  for (const auto& [size, block] : std::vector<std::pair<size_t, size_t>>{
           {0, 1}, {1, 1}, {7, 1}, {40, 8}, {96, 32}, {1536, 512}, {2560, 512}, {4096, 1024}}) {
    EXPECT_EQ(rotation_block(size), block) << size;
  }
}

TEST(Rotation, IsTheHadamardTransformOfRandomSigns) {
  // The first outputs of SplitMix64 for seed 0, as published with it.
  const uint64_t words[] = {0xE220A8397B1DCDAFU, 0x6E789E6AA1B965F4U};
  const std::vector<float> values = test::Random(1).normals(96);
  std::vector<float> rotated = values;
  rotate(rotated);
  for (size_t i = 0; i < 96; ++i) {
    double sum = 0;
    for (size_t j = i / 32 * 32; j < i / 32 * 32 + 32; ++j) {
      const bool flipped = (words[j / 64] >> j % 64 & 1) != 0;
      const bool negative = std::popcount(i % 32 & j % 32) % 2 != 0;
      sum += (flipped != negative ? -1.0 : 1.0) * static_cast<double>(values[j]);
    }
    EXPECT_NEAR(rotated[i], sum / std::sqrt(32.0), 1e-5) << i;
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
TEST(ScreeningRow, ErrorsAreAsForetold) {
  constexpr size_t kCols = 512;
  constexpr size_t kRows = 10000;
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
    for (const size_t channel : {3, 100, 333}) x[channel] *= 1 + kind.outliers;
    std::vector<int8_t> codes(kRows * kCols);
    std::vector<float> scales(kRows);
    for (size_t r = 0; r < kRows; ++r) {
      std::vector<float> w = random.normals(kCols);
      for (size_t c = 0; c < kCols; ++c) w[c] += kind.common * common[c];
      w[static_cast<size_t>(random.integer(0, kCols - 1))] *= 1 + kind.heavy_weights;
      for (const size_t channel : {3, 100, 333}) w[channel] /= 1 + kind.outliers;
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
    EXPECT_LT(largest, 5.0);  // of 10000 draws of a normal distribution about 4
    EXPECT_NEAR(std::sqrt(error_squares / difference_squares), 0.48, 0.05);
  }
}

}  // namespace
}  // namespace rotor
