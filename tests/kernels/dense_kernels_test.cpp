// Products with dense matrices and what is done to vectors, in every registered kernel set: equal to the
// scalar one bit for bit, and near what the formula gives.
#include <algorithm>
#include <cmath>

#include "rotor/core/dense.h"
#include "tests/kernels/kernel_set_test.h"
#include "tests/support/random.h"

namespace rotor::kernels {
namespace {

class DenseKernelSetTest : public KernelSetTest {};

INSTANTIATE_TEST_SUITE_P(Kernels, DenseKernelSetTest, ::testing::ValuesIn(runnable_sets()),
                         [](const auto& param) { return param.param; });

TEST_P(DenseKernelSetTest, SumsAreScaledAndAdded) {
  test::Random random;
  for (const size_t size : kSizes) {
    std::vector<int32_t> sums(size);
    for (int32_t& sum : sums) sum = static_cast<int32_t>(random.normals(1)[0] * 1e8F);
    std::vector<float> y(size, 1.5F);
    kernels_->scale_sums(sums.data(), size, 0.3F, false, y.data());
    for (size_t i = 0; i < size; ++i) ASSERT_EQ(y[i], static_cast<float>(sums[i]) * 0.3F);
    kernels_->scale_sums(sums.data(), size, 0.7F, true, y.data());
    for (size_t i = 0; i < size; ++i) {
      const float first = static_cast<float>(sums[i]) * 0.3F;
      const float second = static_cast<float>(sums[i]) * 0.7F;
      ASSERT_EQ(y[i], first + second);
    }
  }
}

/// Columns of dense rows: below, at and past the 64 partial sums, and widths of heads and models.
const std::vector<size_t> kDenseColumns = {1, 7, 8, 9, 16, 31, 33, 63, 64, 65, 80, 100, 128, 144, 200, 2560};

TEST_P(DenseKernelSetTest, FloatMatvecEqualsScalar) {
  test::Random random;
  for (const size_t cols : kDenseColumns) {
    const size_t rows = 21;
    const auto matrix = random.normals(rows * cols);
    const auto x = random.normals(cols);
    std::vector<float> expected(rows);
    std::vector<float> y(rows);
    find_kernels("scalar")->matvec_float(matrix.data(), rows, cols, x.data(), expected.data());
    kernels_->matvec_float(matrix.data(), rows, cols, x.data(), y.data());
    EXPECT_EQ(y, expected);
    double sum = 0;
    for (size_t c = 0; c < cols; ++c) sum += static_cast<double>(matrix[c]) * static_cast<double>(x[c]);
    // cols products and sums of magnitude ~1, each with relative error 2^-24.
    EXPECT_NEAR(y[0], sum, static_cast<double>(cols) * 1e-6);
    std::vector<uint16_t> halves(matrix.size());
    kernels_->to_f16(matrix.data(), matrix.size(), halves.data());
    std::vector<float> back(matrix.size());
    kernels_->from_f16(halves.data(), halves.size(), back.data());
    for (size_t i = 0; i < matrix.size(); ++i) {
      ASSERT_EQ(halves[i], float_to_f16(matrix[i]));
      ASSERT_EQ(back[i], f16_to_float(halves[i]));
    }
    find_kernels("scalar")->matvec_f16(halves.data(), rows, cols, x.data(), expected.data());
    kernels_->matvec_f16(halves.data(), rows, cols, x.data(), y.data());
    EXPECT_EQ(y, expected);
    EXPECT_NEAR(y[0], sum, static_cast<double>(cols) * 1e-3);
  }
}

TEST_P(DenseKernelSetTest, Q8MatvecIsExact) {
  test::Random random;
  for (const size_t cols : kDenseColumns) {
    const auto codes = random.bytes(5 * cols);
    const auto x = random.normals(cols);
    std::vector<int16_t> x16(cols);
    std::vector<int16_t> expected16(cols);
    const float x_scale = kernels_->quantize_int16(x.data(), cols, x16.data());
    EXPECT_EQ(x_scale, find_kernels("scalar")->quantize_int16(x.data(), cols, expected16.data()));
    EXPECT_EQ(x16, expected16);
    const std::vector<float> scales = {0.5F, 1.0F, 0.1F, 3.0F, 1e-3F};
    std::vector<float> y(5);
    kernels_->matvec_q8(codes.data(), scales.data(), nullptr, 5, cols, x16.data(), x_scale, y.data());
    for (size_t r = 0; r < 5; ++r) {
      int64_t sum = 0;
      double value = 0;
      for (size_t c = 0; c < cols; ++c) {
        sum += codes[r * cols + c] * x16[c];
        value += codes[r * cols + c] * static_cast<double>(x[c]);
      }
      EXPECT_EQ(y[r], static_cast<float>(sum) * (scales[r] * x_scale));
      const double scaled = value * static_cast<double>(scales[r]);
      EXPECT_NEAR(y[r], scaled, 128 * static_cast<double>(cols) * static_cast<double>(scales[r] * x_scale));
    }
    const std::vector<int32_t> ids = {4, 0, 3, 3, 1, 2, 0};
    std::vector<float> some(ids.size());
    kernels_->matvec_q8(codes.data(), scales.data(), ids.data(), ids.size(), cols, x16.data(), x_scale,
                        some.data());
    for (size_t i = 0; i < ids.size(); ++i) EXPECT_EQ(some[i], y[static_cast<size_t>(ids[i])]) << i;
  }
}

TEST_P(DenseKernelSetTest, LongQ8RowsDoNotWrap) {
  constexpr size_t kCols = 100'003;
  const float one = 1.0F;
  for (const int code : {127, -128}) {
    const std::vector<int8_t> codes(kCols, static_cast<int8_t>(code));
    const std::vector<int16_t> x(kCols, 32767);
    float y = 0;
    kernels_->matvec_q8(codes.data(), &one, nullptr, 1, kCols, x.data(), 1.0F, &y);
    EXPECT_EQ(y, static_cast<float>(int64_t{code} * 32767 * static_cast<int64_t>(kCols)));
  }
}

TEST_P(DenseKernelSetTest, Int16QuantizerTakesZerosAndTies) {
  std::vector<float> x(40);
  std::vector<int16_t> codes(40, 7);
  EXPECT_EQ(kernels_->quantize_int16(x.data(), x.size(), codes.data()), 0.0F);
  EXPECT_EQ(codes, std::vector<int16_t>(40, 0));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) - 20.5F;
  x[0] = -32767.0F;  // the scale is 1, so that every half is a tie
  EXPECT_EQ(kernels_->quantize_int16(x.data(), x.size(), codes.data()), 1.0F);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(codes[i], static_cast<int>(std::nearbyint(x[i])));
}

TEST_P(DenseKernelSetTest, WeightedSumsEqualScalar) {
  test::Random random;
  const Kernels scalar = find_kernels("scalar");
  for (const size_t cols : kDenseColumns) {
    for (const size_t rows : {1, 3, 40}) {
      const auto matrix = random.normals(rows * cols);
      const auto codes = random.bytes(rows * cols);
      const auto weights = random.normals(rows);
      const auto scales = random.normals(rows);
      std::vector<uint16_t> halves(matrix.size());
      kernels_->to_f16(matrix.data(), matrix.size(), halves.data());
      std::vector<float> expected(cols, 0.25F);
      std::vector<float> y(cols, 0.25F);
      const bool add = rows == 3;
      scalar->weighted_sum_float(matrix.data(), rows, cols, weights.data(), add, expected.data());
      kernels_->weighted_sum_float(matrix.data(), rows, cols, weights.data(), add, y.data());
      EXPECT_EQ(y, expected);
      scalar->weighted_sum_f16(halves.data(), rows, cols, weights.data(), add, expected.data());
      kernels_->weighted_sum_f16(halves.data(), rows, cols, weights.data(), add, y.data());
      EXPECT_EQ(y, expected);
      scalar->weighted_sum_q8(codes.data(), scales.data(), rows, cols, weights.data(), add, expected.data());
      kernels_->weighted_sum_q8(codes.data(), scales.data(), rows, cols, weights.data(), add, y.data());
      EXPECT_EQ(y, expected);
    }
  }
}

TEST_P(DenseKernelSetTest, RmsNormEqualsScalarAndItsFormula) {
  test::Random random;
  for (const size_t size : kSizes) {
    const auto x = random.normals(size);
    const auto gain = random.normals(size);
    std::vector<float> expected(size);
    std::vector<float> y = x;
    find_kernels("scalar")->rms_norm(x.data(), size, gain.data(), 1e-5F, expected.data());
    kernels_->rms_norm(y.data(), size, gain.data(), 1e-5F, y.data());
    EXPECT_EQ(y, expected);
    double sum = 0;
    for (const float v : x) sum += static_cast<double>(v) * static_cast<double>(v);
    const double inverse = 1 / std::sqrt(sum / static_cast<double>(size) + 1e-5);
    for (size_t i = 0; i < size; ++i) {
      const double value = static_cast<double>(x[i]) * inverse * static_cast<double>(gain[i]);
      EXPECT_NEAR(y[i], value, 3e-7 * std::fabs(value));
    }
  }
}

TEST_P(DenseKernelSetTest, SoftmaxEqualsScalarAndItsFormula) {
  test::Random random;
  for (const size_t size : kSizes) {
    auto x = random.normals(size);
    for (float& v : x) v *= 20.0F;
    if (size > 2) x[size / 2] = -2000.0F;  // underflows to 0
    std::vector<float> expected = x;
    std::vector<float> y = x;
    find_kernels("scalar")->softmax(expected.data(), size, 0.7F);
    kernels_->softmax(y.data(), size, 0.7F);
    EXPECT_EQ(y, expected) << size;
    const double largest = static_cast<double>(*std::max_element(x.begin(), x.end()) * 0.7F);
    double sum = 0;
    for (const float v : x) sum += std::exp(static_cast<double>(v * 0.7F) - largest);
    for (size_t i = 0; i < size; ++i) {
      const double value = std::exp(static_cast<double>(x[i] * 0.7F) - largest) / sum;
      // Rounding the difference to a float of up to 100 costs 4e-6 of it.
      EXPECT_NEAR(y[i], value, 6e-6 * value + 1e-37) << i;
    }
  }
}

TEST_P(DenseKernelSetTest, WordsAreSummedModulo2To64) {
  for (const size_t size : kSizes) {
    std::vector<uint64_t> words(size);
    uint64_t expected = 0;
    for (size_t i = 0; i < size; ++i) expected += words[i] = 0x9E3779B97F4A7C15U * (i + 1);
    EXPECT_EQ(kernels_->sum_words(words.data(), size), expected);
  }
}

TEST_P(DenseKernelSetTest, SquaredReluGateEqualsScalar) {
  test::Random random;
  for (const size_t size : kSizes) {
    std::vector<float> gate = random.normals(size);
    const std::vector<float> up = random.normals(size);
    std::vector<float> expected(size);
    for (size_t i = 0; i < size; ++i) expected[i] = gate[i] > 0 ? gate[i] * gate[i] * up[i] : 0.0F * up[i];
    kernels_->gate_relu2(gate.data(), up.data(), size, gate.data());
    EXPECT_EQ(gate, expected);
  }
}

}  // namespace
}  // namespace rotor::kernels
