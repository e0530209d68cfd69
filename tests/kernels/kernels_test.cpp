// Every registered kernel set against the scalar one and against plain sums: equal, at every size, also
// saturated.
#include "rotor/kernels/kernels.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include "rotor/core/error.h"
#include "rotor/core/planes.h"
#include "rotor/core/quantize.h"
#include "rotor/core/tiles.h"
#include "rotor/kernels/self_check.h"
#include "tests/kernels/kernel_set_test.h"
#include "tests/support/golden.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace rotor::kernels {
namespace {

INSTANTIATE_TEST_SUITE_P(Kernels, KernelSetTest, ::testing::ValuesIn(runnable_sets()),
                         [](const auto& param) { return param.param; });

/// int8 vector padded to whole words with zeros.
std::vector<int8_t> padded(std::vector<int8_t> values) {
  values.resize(plane_words(values.size()) * kWordColumns);
  return values;
}

/// Tokens [batch, 32 * column tiles] in the blocks that matmul_int8 reads.
struct Arranged {
  std::vector<int8_t> blocks;
  std::vector<int32_t> token_sums;
};

Arranged arrange(const Kernels& kernels, const std::vector<int8_t>& x, size_t batch) {
  const size_t cols = x.size() / batch;
  Arranged tokens{std::vector<int8_t>((batch + kTokenBlock - 1) / kTokenBlock * kTokenBlock * cols, 99),
                  std::vector<int32_t>(batch)};
  kernels->arrange_tokens(x.data(), cols / kTileColumns, batch, tokens.blocks.data(),
                          tokens.token_sums.data());
  return tokens;
}

void matmul(const Kernels& kernels, const std::vector<uint8_t>& tiles, size_t row_tile_count,
            const std::vector<int8_t>& x, size_t batch, std::vector<int32_t>& sums) {
  const Arranged tokens = arrange(kernels, x, batch);
  kernels->matmul_int8(tiles.data(), row_tile_count, x.size() / batch / kTileColumns, tokens.blocks.data(),
                       tokens.token_sums.data(), batch, sums.data());
}

struct Matrix {
  size_t rows;
  size_t cols;
  std::vector<int8_t> weights;
  std::vector<uint8_t> tiles;

  Matrix(size_t r, size_t c, std::vector<int8_t> w)
      : rows(r), cols(c), weights(std::move(w)), tiles(tile_bytes(r, c)) {
    pack_tiles(weights, r, c, tiles);
  }
  /// Plain sums with x, padded to whole tiles of rows with zeros.
  std::vector<int32_t> times(const std::vector<int8_t>& x) const {
    std::vector<int32_t> sums(row_tiles(rows) * kTileRows);
    for (size_t r = 0; r < rows; ++r) {
      for (size_t c = 0; c < cols; ++c) sums[r] += weights[r * cols + c] * x[c];
    }
    return sums;
  }
};

TEST_P(KernelSetTest, QuantizeInt8EqualsCore) {
  test::Random random;
  for (const size_t size : kSizes) {
    std::vector<float> x = random.normals(size);
    for (float& v : x) v *= 3.0F;
    std::vector<int8_t> expected(size);
    std::vector<int8_t> codes(size);
    const float scale = quantize_int8(x, expected);
    EXPECT_EQ(kernels_->quantize_int8(x.data(), size, codes.data()), scale);
    EXPECT_EQ(codes, expected) << size;
  }
}

TEST_P(KernelSetTest, QuantizeInt8AgreesWithGolden) {
  const auto golden = test::open_golden("primitives/act_quant.safetensors");
  for (const std::string& name : test::golden_cases(golden, "codes")) {
    const std::vector<float> x = golden.read_as_float(golden.at(name + ".x"));
    const size_t rows = golden.read_as_float(golden.at(name + ".scale")).size();
    const size_t width = x.size() / rows;
    std::vector<int8_t> codes(x.size());
    for (size_t r = 0; r < rows; ++r)
      kernels_->quantize_int8(x.data() + r * width, width, codes.data() + r * width);
    EXPECT_EQ(codes, golden.read<int8_t>(name + ".codes")) << name;
  }
}

TEST_P(KernelSetTest, QuantizeInt8RoundsTiesToEven) {
  // 127 as the largest value makes the scale 1: every half is a tie.
  std::vector<float> x(64);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) - 31.5F;
  x[63] = 127.0F;
  std::vector<int8_t> codes(x.size());
  EXPECT_EQ(kernels_->quantize_int8(x.data(), x.size(), codes.data()), 1.0F);
  for (size_t i = 0; i < 63; ++i) EXPECT_EQ(codes[i], static_cast<int>(std::nearbyint(x[i])));
}

TEST_P(KernelSetTest, TernarizeEncodeDecode) {
  test::Random random;
  for (const size_t size : kSizes) {
    std::vector<float> x = random.normals(size);
    if (size > 3) x[1] = 0.5F, x[2] = -0.5F, x[3] = std::nanf("");
    std::vector<int8_t> expected(size);
    ternarize(x, 0.5F, expected);
    const TernaryVector planes = encode_trits(expected);
    TernaryVector found(size);
    kernels_->ternarize(x.data(), size, 0.5F, found.plus.data(), found.minus.data());
    EXPECT_EQ(found.plus, planes.plus) << size;
    EXPECT_EQ(found.minus, planes.minus) << size;
    TernaryVector encoded(size);
    EXPECT_TRUE(kernels_->encode_trits(expected.data(), size, encoded.plus.data(), encoded.minus.data()));
    EXPECT_EQ(encoded.plus, planes.plus) << size;
    EXPECT_EQ(encoded.minus, planes.minus) << size;
    std::vector<int8_t> decoded(size);
    kernels_->decode_trits(planes.plus.data(), planes.minus.data(), size, decoded.data());
    EXPECT_EQ(decoded, expected) << size;
  }
}

TEST_P(KernelSetTest, EncodeRefusesEveryOtherByteAtEveryPlace) {
  for (const size_t size : {5, 32, 70}) {
    for (int value = -128; value <= 127; ++value) {
      for (size_t at = 0; at < size; ++at) {
        std::vector<int8_t> values(size, 1);
        values[at] = static_cast<int8_t>(value);
        TernaryVector planes(size);
        EXPECT_EQ(kernels_->encode_trits(values.data(), size, planes.plus.data(), planes.minus.data()),
                  value >= -1 && value <= 1);
      }
    }
  }
}

TEST_P(KernelSetTest, DecodeReadsBothBitsAsZero) {
  const uint32_t ones = 0xFFFFFFFF;
  std::vector<int8_t> values(32, 9);
  kernels_->decode_trits(&ones, &ones, 32, values.data());
  EXPECT_EQ(values, std::vector<int8_t>(32, 0));
}

TEST_P(KernelSetTest, DotProductsAreExact) {
  test::Random random;
  for (const size_t size : kSizes) {
    const auto a = random.trits(size);
    const auto b = random.trits(size);
    const auto x = random.bytes(size);
    int64_t ternary = 0;
    int64_t integer = 0;
    for (size_t i = 0; i < size; ++i) ternary += a[i] * b[i], integer += a[i] * x[i];
    const TernaryVector pa = encode_trits(a);
    const TernaryVector pb = encode_trits(b);
    EXPECT_EQ(kernels_->dot_ternary(pa.plus.data(), pa.minus.data(), pb.plus.data(), pb.minus.data(),
                                    pa.plus.size()),
              ternary);
    const auto px = padded(x);
    EXPECT_EQ(kernels_->dot_int8(pa.plus.data(), pa.minus.data(), px.data(), pa.plus.size()), integer);
  }
}

TEST_P(KernelSetTest, TernaryDotIsExhaustivelyRightForOneProduct) {
  for (int a = -1; a <= 1; ++a) {
    for (int b = -1; b <= 1; ++b) {
      for (const size_t size : {1, 300}) {
        const TernaryVector pa = encode_trits(std::vector<int8_t>(size, static_cast<int8_t>(a)));
        const TernaryVector pb = encode_trits(std::vector<int8_t>(size, static_cast<int8_t>(b)));
        EXPECT_EQ(kernels_->dot_ternary(pa.plus.data(), pa.minus.data(), pb.plus.data(), pb.minus.data(),
                                        pa.plus.size()),
                  a * b * static_cast<int>(size));
      }
    }
  }
}

TEST_P(KernelSetTest, DotProductOf16384OnesDoesNotWrap) {
  constexpr size_t kSize = 16384;
  const std::vector<int8_t> ones(kSize, 1);
  const TernaryVector planes = encode_trits(ones);
  const auto* p = planes.plus.data();
  const auto* m = planes.minus.data();
  EXPECT_EQ(kernels_->dot_ternary(p, m, p, m, planes.plus.size()), 16384);
  EXPECT_EQ(kernels_->dot_ternary(p, m, m, p, planes.plus.size()), -16384);
  EXPECT_EQ(kernels_->dot_int8(p, m, ones.data(), planes.plus.size()), 16384);
  const Matrix matrix(1, kSize, ones);
  std::vector<int32_t> sums(kTileRows);
  kernels_->matvec_int8(matrix.tiles.data(), 1, column_tiles(kSize), ones.data(), sums.data());
  EXPECT_EQ(sums[0], 16384);
  kernels_->matvec_ternary(matrix.tiles.data(), 1, column_tiles(kSize), p, m, sums.data());
  EXPECT_EQ(sums[0], 16384);
}

TEST_P(KernelSetTest, LongDotProductsDoNotWrap) {
  // Past the sizes at which 32-bit partial sums must have been added up: all +1 times 127, and times -128.
  constexpr size_t kWords = (size_t{1} << 20) + 9;
  const std::vector<uint32_t> ones(kWords, 0xFFFFFFFF);
  const std::vector<uint32_t> zeros(kWords);
  for (const int value : {127, -128}) {
    const std::vector<int8_t> x(kWords * kWordColumns, static_cast<int8_t>(value));
    const int64_t expected = static_cast<int64_t>(kWords * kWordColumns) * value;
    EXPECT_EQ(kernels_->dot_int8(ones.data(), zeros.data(), x.data(), kWords), expected);
    EXPECT_EQ(kernels_->dot_int8(zeros.data(), ones.data(), x.data(), kWords), -expected);
  }
  const auto count = static_cast<int64_t>(kWords * kWordColumns);
  EXPECT_EQ(kernels_->dot_ternary(ones.data(), zeros.data(), ones.data(), zeros.data(), kWords), count);
  EXPECT_EQ(kernels_->dot_ternary(ones.data(), zeros.data(), zeros.data(), ones.data(), kWords), -count);
}

TEST_P(KernelSetTest, SaturatedInputs) {
  for (const size_t cols : {32, 6912, 40000}) {
    for (const int weight : {-1, 1}) {
      for (const int activation : {-128, -127, 127}) {
        const Matrix matrix(17, cols, std::vector<int8_t>(17 * cols, static_cast<int8_t>(weight)));
        const std::vector<int8_t> x = padded(std::vector<int8_t>(cols, static_cast<int8_t>(activation)));
        const size_t column_tile_count = column_tiles(cols);
        const int64_t expected = int64_t{weight} * activation * static_cast<int64_t>(cols);
        std::vector<int32_t> sums(2 * kTileRows);
        kernels_->matvec_int8(matrix.tiles.data(), 2, column_tile_count, x.data(), sums.data());
        for (size_t r = 0; r < 17; ++r) EXPECT_EQ(sums[r], expected);
        std::vector<int8_t> batch;
        for (int b = 0; b < 5; ++b) batch.insert(batch.end(), x.begin(), x.end());
        std::vector<int32_t> batch_sums(5 * 2 * kTileRows);
        matmul(kernels_, matrix.tiles, 2, batch, 5, batch_sums);
        for (size_t b = 0; b < 5; ++b) EXPECT_EQ(batch_sums[b * 2 * kTileRows + 16], expected);
        const TernaryVector planes = encode_trits(std::vector<int8_t>(cols, static_cast<int8_t>(weight)));
        EXPECT_EQ(kernels_->dot_int8(planes.plus.data(), planes.minus.data(), x.data(), planes.plus.size()),
                  expected);
      }
    }
  }
}

TEST_P(KernelSetTest, MatrixProductsAreExactAtEverySize) {
  test::Random random;
  for (const size_t rows : {1, 15, 16, 17, 50}) {
    for (const size_t cols : {1, 31, 32, 33, 224, 225, 448, 500, 512, 513}) {
      const Matrix matrix(rows, cols, random.trits(rows * cols));
      const size_t row_tile_count = row_tiles(rows);
      const size_t column_tile_count = column_tiles(cols);
      for (const size_t batch : {1, 2, 3, 4, 5, 6, 7, 8, 9, 17}) {
        std::vector<int8_t> x;
        std::vector<int32_t> expected;
        for (size_t b = 0; b < batch; ++b) {
          const auto row = padded(random.bytes(cols));
          const auto sums = matrix.times(row);
          x.insert(x.end(), row.begin(), row.end());
          expected.insert(expected.end(), sums.begin(), sums.end());
        }
        std::vector<int32_t> sums(expected.size(), -1);
        matmul(kernels_, matrix.tiles, row_tile_count, x, batch, sums);
        EXPECT_EQ(sums, expected) << rows << "x" << cols << " batch " << batch;
        if (batch == 1) {
          kernels_->matvec_int8(matrix.tiles.data(), row_tile_count, column_tile_count, x.data(),
                                sums.data());
          EXPECT_EQ(sums, expected) << rows << "x" << cols;
        }
      }
      const auto trits = random.trits(cols);
      const TernaryVector planes = encode_trits(trits);
      std::vector<int32_t> sums(row_tile_count * kTileRows, -1);
      kernels_->matvec_ternary(matrix.tiles.data(), row_tile_count, column_tile_count, planes.plus.data(),
                               planes.minus.data(), sums.data());
      EXPECT_EQ(sums, matrix.times(trits)) << rows << "x" << cols;
    }
  }
}

TEST_P(KernelSetTest, LinearSumsAgreeWithGolden) {
  const auto golden = test::open_golden("primitives/linear.safetensors");
  const auto cases = test::golden_cases(golden, "acc_int32");
  ASSERT_EQ(cases.size(), 5U);
  for (const std::string& name : cases) {
    SCOPED_TRACE(name);
    const std::vector<float> weights = golden.read_as_float(golden.at(name + ".weight_bf16"));
    const auto shape = golden.at(name + ".weight_bf16").shape;
    const auto rows = static_cast<size_t>(shape[0]);
    const auto cols = static_cast<size_t>(shape[1]);
    std::vector<int8_t> codes(weights.size());
    quantize_absmean(weights, codes);
    const Matrix matrix(rows, cols, codes);
    const auto x = golden.read<int8_t>(name + ".x_int8");
    const auto expected = golden.read<int32_t>(name + ".acc_int32");
    for (size_t token = 0; token < x.size() / cols; ++token) {
      const auto from = x.begin() + static_cast<std::ptrdiff_t>(token * cols);
      const auto row = padded(std::vector<int8_t>(from, from + static_cast<std::ptrdiff_t>(cols)));
      std::vector<int32_t> sums(row_tiles(rows) * kTileRows);
      kernels_->matvec_int8(matrix.tiles.data(), row_tiles(rows), column_tiles(cols), row.data(),
                            sums.data());
      for (size_t r = 0; r < rows; ++r) EXPECT_EQ(sums[r], expected[token * rows + r]);
    }
  }
}

TEST_P(KernelSetTest, ArrangedTokensAreBlocksOfFourColumns) {
  test::Random random;
  for (const size_t batch : {1, 7, 8, 9, 20}) {
    const size_t cols = 96;
    const auto x = random.bytes(batch * cols);
    const auto [blocks, token_sums] = arrange(kernels_, x, batch);
    for (size_t b = 0; b < batch; ++b) {
      EXPECT_EQ(token_sums[b], std::accumulate(x.begin() + b * cols, x.begin() + (b + 1) * cols, 0));
    }
    for (size_t at = 0; at < blocks.size(); ++at) {
      const size_t token = at / (cols * kTokenBlock) * kTokenBlock + at / 4 % kTokenBlock;
      const size_t column = at % (cols * kTokenBlock) / (4 * kTokenBlock) * 4 + at % 4;
      ASSERT_EQ(blocks[at], token < batch ? x[token * cols + column] : 0) << at;
    }
  }
}

TEST_P(KernelSetTest, SelfCheckFindsItSound) {
  for (const OpCheck& check : check_against_scalar(*kernels_.operator->()))
    EXPECT_TRUE(check.equal) << check.op;
}

TEST(Kernels, SelfCheckNamesTheOpsThatDiffer) {
  KernelSet broken = *find_kernels("scalar").operator->();
  broken.name = "broken";
  broken.dot_int8 = [](const uint32_t*, const uint32_t*, const int8_t*, size_t) { return int64_t{1}; };
  broken.gate_relu2 = [](const float*, const float* up, size_t count, float* y) {
    std::copy_n(up, count, y);
    y[count - 1] = 0.0F;
  };
  std::vector<std::string> differing;
  for (const OpCheck& check : check_against_scalar(broken)) {
    if (!check.equal) differing.push_back(check.op);
  }
  EXPECT_EQ(differing, (std::vector<std::string>{"dot_int8", "gate_relu2"}));
}

TEST(Kernels, CallsAreCounted) {
  const Kernels scalar = find_kernels("scalar");
  const uint64_t before = scalar.calls();
  int8_t value = 1;
  uint32_t plus = 0;
  uint32_t minus = 0;
  scalar->encode_trits(&value, 1, &plus, &minus);
  EXPECT_EQ(scalar.calls(), before + 1);
}

TEST(Kernels, EnvironmentForcesASetOrFails) {
  setenv("ROTOR_KERNELS", "scalar", 1);
  EXPECT_STREQ(choose_kernels().name(), "scalar");
  setenv("ROTOR_KERNELS", "mmx", 1);
  test::expect_error([] { choose_kernels(); }, {"ROTOR_KERNELS", "mmx", "scalar"});
  unsetenv("ROTOR_KERNELS");
  EXPECT_EQ(choose_kernels().name(), runnable_sets().back());
}

}  // namespace
}  // namespace rotor::kernels
