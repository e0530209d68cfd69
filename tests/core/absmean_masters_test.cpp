// Masters made from codes and scale go through the quantizer and come out as these.
#include "rotor/core/absmean_masters.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "rotor/core/dense.h"
#include "rotor/core/error.h"
#include "rotor/core/quantize.h"
#include "tests/support/random.h"

namespace rotor {
namespace {

std::vector<int8_t> random_codes(size_t count, double density, uint64_t seed) {
  test::Random random(seed);
  std::vector<int8_t> codes(count);
  for (int8_t& code : codes) {
    if (random.uniform() < density) code = random.uniform() < 0.5 ? -1 : 1;
  }
  return codes;
}

/// Filled in pieces of an odd size, as an export does.
std::vector<float> masters_of(const std::vector<int8_t>& codes, float scale) {
  const size_t zeros = static_cast<size_t>(std::ranges::count(codes, 0));
  const AbsmeanMasters masters(codes.size() - zeros, codes.size(), scale);
  std::vector<float> values(codes.size());
  size_t nonzero = 0;
  for (size_t first = 0; first < codes.size(); first += 777) {
    const auto piece = std::span(codes).subspan(first, std::min<size_t>(777, codes.size() - first));
    masters.fill(piece, nonzero, first - nonzero, std::span(values).subspan(first, piece.size()));
    nonzero += piece.size() - static_cast<size_t>(std::ranges::count(piece, 0));
  }
  return values;
}

/// Whether some float32 s has 1 / s equal to `scale`: what the quantizer can give.
bool is_reciprocal(float scale) {
  for (int step = -2; step <= 2; ++step) {
    const auto s = std::bit_cast<float>(std::bit_cast<int32_t>(1.0F / scale) + step);
    if (1.0F / s == scale) return true;
  }
  return false;
}

TEST(AbsmeanMasters, GiveCodesAndScaleBack) {
  size_t exact = 0;
  size_t all = 0;
  test::Random random(5);
  for (const size_t count : {size_t{4096}, size_t{50000}, size_t{1} << 18}) {
    for (const double density : {0.01, 0.3, 0.66, 0.99}) {
      for (int i = 0; i < 8; ++i) {
        const auto scale = static_cast<float>(std::exp(8 * random.uniform() - 5));
        SCOPED_TRACE(cat(count, " codes, density ", density, ", scale ", scale));
        const auto codes = random_codes(count, density, static_cast<uint64_t>(i) + 1);
        const auto values = masters_of(codes, scale);
        std::vector<int8_t> found(count);
        const TernaryScale quantized = quantize_absmean(values, found);
        ASSERT_EQ(found, codes);
        ++all;
        exact += quantized.scale == scale ? 1 : 0;
        const int ulps = std::abs(std::bit_cast<int32_t>(quantized.scale) - std::bit_cast<int32_t>(scale));
        EXPECT_LE(ulps, is_reciprocal(scale) ? 0 : 1) << quantized.scale;
        for (const float value : values) ASSERT_EQ(bf16_to_float(float_to_bf16(value)), value);
      }
    }
  }
  EXPECT_GT(exact, all / 2);
}

TEST(AbsmeanMasters, SmallMatricesKeepTheirCodes) {
  for (size_t count = 1; count < 40; ++count) {
    const auto codes = random_codes(count, 0.5, count);
    const auto values = masters_of(codes, 0.75F);
    std::vector<int8_t> found(count);
    const float scale = quantize_absmean(values, found).scale;
    EXPECT_EQ(found, codes);
    // Without enough values bfloat16's 8 bits are all there is.
    if (std::ranges::count(codes, 0) < static_cast<int64_t>(count)) {
      EXPECT_NEAR(scale, 0.75F, 0.75F / 256);
    }
  }
}

TEST(AbsmeanMasters, RefuseScalesThatTheQuantizerCannotGive) {
  EXPECT_THROW(AbsmeanMasters(10, 20, 9e-6F), Error);
  const AbsmeanMasters zeros(0, 20, 0.0F);
  std::vector<float> values(20, 1.0F);
  zeros.fill(std::vector<int8_t>(20), 0, 0, values);
  EXPECT_EQ(values, std::vector<float>(20));
}

}  // namespace
}  // namespace rotor
