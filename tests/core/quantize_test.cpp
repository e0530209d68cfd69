// Quantizers against golden vectors, and where there are none against brute force and properties.
#include "rotor/core/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "rotor/core/error.h"
#include "tests/support/golden.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace rotor {
namespace {

using test::expect_error;

// README tolerance: s and mean are sums, rtol 3e-6; dequant rtol 1e-6.
TEST(QuantizeAbsmean, AgreesWithGolden) {
  const auto golden = test::open_golden("primitives/weight_quant.safetensors");
  const auto cases = test::golden_cases(golden, "codes");
  ASSERT_EQ(cases.size(), 15U);
  for (const std::string& name : cases) {
    SCOPED_TRACE(name);
    const std::vector<float> w = golden.read_as_float(golden.at(name + ".w"));
    std::vector<int8_t> codes(w.size());
    const TernaryScale scale = quantize_absmean(w, codes);
    EXPECT_EQ(codes, golden.read<int8_t>(name + ".codes"));
    const float s = golden.read<float>(name + ".s")[0];
    EXPECT_NEAR(scale.inverse_scale, s, 3e-6F * s);
    const float mean = golden.read<float>(name + ".mean")[0];
    EXPECT_NEAR(scale.scale, mean, 3e-6F * mean);
    const TensorInfo& expected_info = golden.at(name + ".dequant");
    const std::vector<float> expected = golden.read_as_float(expected_info);
    // bf16 cases: the product is rounded to bf16 (rtol 2^-8 covers half an ulp).
    const float tolerance = expected_info.dtype == DType::bf16 ? 1.0F / 256 : 3e-6F;
    for (size_t i = 0; i < w.size(); ++i) {
      EXPECT_NEAR(codes[i] * scale.scale, expected[i], tolerance * std::fabs(expected[i])) << i;
    }
  }
}

TEST(QuantizeInt8, AgreesWithGolden) {
  const auto golden = test::open_golden("primitives/act_quant.safetensors");
  const auto cases = test::golden_cases(golden, "codes");
  ASSERT_EQ(cases.size(), 14U);
  for (const std::string& name : cases) {
    SCOPED_TRACE(name);
    const std::vector<float> x = golden.read_as_float(golden.at(name + ".x"));
    const std::vector<int8_t> expected = golden.read<int8_t>(name + ".codes");
    const std::vector<float> scales = golden.read_as_float(golden.at(name + ".scale"));
    const size_t width = x.size() / scales.size();
    std::vector<int8_t> codes(x.size());
    for (size_t row = 0; row < scales.size(); ++row) {
      const float scale = quantize_int8(std::span(x).subspan(row * width, width),
                                        std::span(codes).subspan(row * width, width));
      EXPECT_NEAR(scale, scales[row], 1e-6F * scales[row]);
    }
    EXPECT_EQ(codes, expected);
  }
}

TEST(QuantizeAbsmean, ScalesWithItsInput) {
  test::Random random;
  const std::vector<float> w = random.normals(1000);
  std::vector<float> scaled = w;
  std::vector<float> negated = w;
  for (float& v : scaled) v *= 4.0F;
  for (float& v : negated) v = -v;
  std::vector<int8_t> codes(w.size());
  std::vector<int8_t> scaled_codes(w.size());
  std::vector<int8_t> negated_codes(w.size());
  const float scale = quantize_absmean(w, codes).scale;
  EXPECT_FLOAT_EQ(quantize_absmean(scaled, scaled_codes).scale, 4 * scale);
  EXPECT_EQ(quantize_absmean(negated, negated_codes).scale, scale);
  EXPECT_EQ(codes, scaled_codes);
  for (size_t i = 0; i < w.size(); ++i) EXPECT_EQ(negated_codes[i], -codes[i]);
}

TEST(QuantizeAbsmean, RoundsLikeItsFormula) {
  test::Random random(3);
  const std::vector<float> w = random.normals(4096);
  std::vector<int8_t> codes(w.size());
  const float s = quantize_absmean(w, codes).inverse_scale;
  for (size_t i = 0; i < w.size(); ++i) {
    EXPECT_EQ(codes[i], std::clamp(std::nearbyint(w[i] * s), -1.0F, 1.0F));
  }
}

TEST(QuantizeAbsmean, EmptyAndNotFinite) {
  EXPECT_EQ(quantize_absmean({}, std::span<int8_t>()).inverse_scale, 1.0F / kQuantizerEpsilon);
  std::vector<int8_t> codes(3);
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
    const std::vector<float> w = {1.0F, bad, 2.0F};
    expect_error([&] { quantize_absmean(w, codes); }, {"weight 1 of 3", "expected a finite number"});
  }
}

TEST(MeanAbs, IsThePlainMean) {
  for (const size_t count : {1, 15, 16, 17, 1000}) {
    test::Random random(count);
    const std::vector<float> w = random.normals(count);
    double sum = 0;
    for (const float v : w) sum += std::fabs(static_cast<double>(v));
    EXPECT_NEAR(mean_abs(w), sum / static_cast<double>(count), 1e-14);
  }
}

TEST(QuantizeThreshold, AgreesWithBruteForce) {
  test::Random random;
  const std::vector<float> w = random.normals(513);
  for (const float threshold : {0.0F, 0.3F, default_threshold(w), 100.0F}) {
    std::vector<int8_t> codes(w.size());
    const ThresholdScale result = quantize_threshold(w, threshold, codes);
    double sum = 0;
    int count = 0;
    for (size_t i = 0; i < w.size(); ++i) {
      const int expected = w[i] > threshold ? 1 : w[i] < -threshold ? -1 : 0;
      EXPECT_EQ(codes[i], expected);
      if (expected != 0) sum += std::fabs(static_cast<double>(w[i]));
      count += expected != 0;
    }
    EXPECT_FLOAT_EQ(result.scale, count == 0 ? 0.0F : static_cast<float>(sum / count));
  }
  EXPECT_FLOAT_EQ(default_threshold(w), static_cast<float>(0.7 * mean_abs(w)));
}

TEST(QuantizeThreshold, ScaleIsTheLeastSquaresOne) {
  // Of all scales, the mean magnitude of the kept weights minimises |w - scale * codes|^2.
  test::Random random(5);
  const std::vector<float> w = random.normals(200);
  std::vector<int8_t> codes(w.size());
  const float scale = quantize_threshold(w, 0.5F, codes).scale;
  const auto error = [&](double s) {
    double sum = 0;
    for (size_t i = 0; i < w.size(); ++i) sum += std::pow(w[i] - s * codes[i], 2);
    return sum;
  };
  EXPECT_LT(error(scale), error(scale * 1.01));
  EXPECT_LT(error(scale), error(scale * 0.99));
}

TEST(QuantizeThreshold, RefusesBadInput) {
  std::vector<int8_t> codes(1);
  const std::vector<float> one = {1.0F};
  const std::vector<float> bad = {std::nanf("")};
  expect_error([&] { quantize_threshold(one, -0.1F, codes); }, {"threshold", "at least 0"});
  expect_error([&] { quantize_threshold(one, std::nanf(""), codes); }, {"threshold"});
  expect_error([&] { quantize_threshold(bad, 0.1F, codes); }, {"weight 0 of 1"});
}

TEST(Ternarize, ThresholdIsNotPassed) {
  const std::vector<float> x = {-0.6F, -0.5F, -0.4F, 0.0F, 0.5F, 0.51F, std::nanf("")};
  std::vector<int8_t> codes(x.size());
  ternarize(x, 0.5F, codes);
  EXPECT_EQ(codes, (std::vector<int8_t>{-1, 0, 0, 0, 0, 1, 0}));
}

}  // namespace
}  // namespace rotor
