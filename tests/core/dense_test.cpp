// The 16-bit floats by every bit pattern, and rows in int8.
#include "rotor/core/dense.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "rotor/core/rope.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace rotor {
namespace {

/// By the definition of IEEE binary16.
double value_of_half(uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const int mantissa = bits & 1023;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(mantissa + 1024, exponent - 25);
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

TEST(Half, EveryValueIsExactAndComesBack) {
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const float value = f16_to_float(bits);
    if ((bits >> 10 & 31) == 31) {
      EXPECT_EQ(std::isnan(value), (bits & 1023) != 0) << i;
      if (!std::isnan(value)) {
        EXPECT_EQ(float_to_f16(value), bits);
      }
      continue;
    }
    EXPECT_EQ(static_cast<double>(value), value_of_half(bits)) << i;
    EXPECT_EQ(float_to_f16(value), bits) << i;
  }
}

// Between two neighbours the nearer one is taken, half-way the even one.
TEST(Half, RoundsHalfToEven) {
  for (uint32_t i = 0; i < 0x7BFF; ++i) {
    const auto low = static_cast<uint16_t>(i);
    const auto high = static_cast<uint16_t>(i + 1);
    const auto middle = static_cast<float>((value_of_half(low) + value_of_half(high)) / 2);
    EXPECT_EQ(float_to_f16(middle), i % 2 == 0 ? low : high) << i;
    EXPECT_EQ(float_to_f16(std::nextafter(middle, 0.0F)), low) << i;
    EXPECT_EQ(float_to_f16(std::nextafter(middle, INFINITY)), high) << i;
    EXPECT_EQ(float_to_f16(-middle), (i % 2 == 0 ? low : high) | 0x8000) << i;
  }
  EXPECT_EQ(float_to_f16(65519.0F), 0x7BFF);
  EXPECT_EQ(float_to_f16(65520.0F), 0x7C00);
  EXPECT_EQ(float_to_f16(1e-30F), 0);
  EXPECT_TRUE(std::isnan(f16_to_float(float_to_f16(NAN))));
}

TEST(Bfloat16, EveryValueComesBackAndRoundingIsHalfToEven) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const float value = bf16_to_float(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(value))));
    } else {
      EXPECT_EQ(float_to_bf16(value), bits);
    }
  }
  EXPECT_EQ(bf16_to_float(float_to_bf16(1.0F + 0x1p-8F)), 1.0F);            // half-way, to the even one
  EXPECT_EQ(bf16_to_float(float_to_bf16(1.0F + 0x3p-8F)), 1.0F + 0x1p-6F);  // the same, upwards
  EXPECT_EQ(bf16_to_float(float_to_bf16(1.0F + 0x1.01p-8F)), 1.0F + 0x1p-7F);
  EXPECT_EQ(float_to_bf16(std::numeric_limits<float>::max()), 0x7F80) << "infinite";
}

TEST(NotFinite, TheFirstIsFound) {
  std::vector<float> values(10000, -3.0F);
  EXPECT_EQ(find_not_finite(values), values.size());
  for (const size_t at : {size_t{9999}, size_t{4096}, size_t{4095}, size_t{0}}) {
    values[at] = at % 2 == 0 ? INFINITY : -NAN;
    EXPECT_EQ(find_not_finite(values), at);
  }
  EXPECT_EQ(find_not_finite({}), 0U);
}

TEST(DenseQ8, ErrorIsAtMostHalfAStep) {
  const std::vector<float> values = test::Random(3).normals(1000);
  std::vector<int8_t> codes(values.size());
  const float scale = quantize_q8(values, codes);
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_LE(std::fabs(static_cast<float>(codes[i]) * scale - values[i]), 0.5001F * scale);
  }
}

TEST(DenseType, NamesComeBack) {
  for (const DenseType type : {DenseType::f32, DenseType::f16, DenseType::q8}) {
    EXPECT_EQ(dense_type_from_name(name(type)), type);
  }
  test::expect_error([] { dense_type_from_name("f8"); }, {"f32 | f16 | q8", "f8"});
}

TEST(RopeTable, HoldsCosineAndSineOfPositionTimesFrequency) {
  const RopeTable table = rope_table(8, 10000.0, 50);
  ASSERT_EQ(table.cos.size(), 200U);
  for (int64_t p = 0; p < 50; ++p) {
    for (int64_t i = 0; i < 4; ++i) {
      const double angle = static_cast<double>(p) * std::pow(10000.0, -2.0 * static_cast<double>(i) / 8.0);
      // Angles are float32 products: up to 50 * 2^-24 off.
      EXPECT_NEAR(static_cast<double>(table.cos[static_cast<size_t>(p * 4 + i)]), std::cos(angle), 1e-5);
      EXPECT_NEAR(static_cast<double>(table.sin[static_cast<size_t>(p * 4 + i)]), std::sin(angle), 1e-5);
    }
  }
}

}  // namespace
}  // namespace rotor
