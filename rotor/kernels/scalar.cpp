// The reference kernels: plain C++, the same on every machine. Others are tested against these.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>
#include <span>
#include <vector>

#include "rotor/core/dense.h"
#include "rotor/core/planes.h"
#include "rotor/core/quantize.h"
#include "rotor/core/tiles.h"
#include "rotor/kernels/kernel_set.h"

namespace rotor::kernels {
namespace {

bool supported() {
  return true;
}

float quantize(const float* values, size_t count, int8_t* codes) {
  return quantize_int8({values, count}, {codes, count});
}

void ternarize_to_planes(const float* values, size_t count, float threshold, uint32_t* plus,
                         uint32_t* minus) {
  for (size_t word = 0; word < plane_words(count); ++word) {
    uint32_t p = 0;
    uint32_t m = 0;
    for (size_t i = word * kWordColumns; i < count && i < (word + 1) * kWordColumns; ++i) {
      p |= uint32_t{values[i] > threshold} << plane_bit(i % kWordColumns);
      m |= uint32_t{values[i] < -threshold} << plane_bit(i % kWordColumns);
    }
    plus[word] = p;
    minus[word] = m;
  }
}

bool encode(const int8_t* values, size_t count, uint32_t* plus, uint32_t* minus) {
  bool ternary = true;
  for (size_t word = 0; word < plane_words(count); ++word) {
    uint32_t p = 0;
    uint32_t m = 0;
    for (size_t i = word * kWordColumns; i < count && i < (word + 1) * kWordColumns; ++i) {
      ternary &= values[i] >= -1 && values[i] <= 1;
      p |= uint32_t{values[i] > 0} << plane_bit(i % kWordColumns);
      m |= uint32_t{values[i] < 0} << plane_bit(i % kWordColumns);
    }
    plus[word] = p;
    minus[word] = m;
  }
  return ternary;
}

int trit_at(uint32_t plus, uint32_t minus, size_t column) {
  const unsigned bit = plane_bit(column);
  return static_cast<int>(plus >> bit & 1) - static_cast<int>(minus >> bit & 1);
}

void decode(const uint32_t* plus, const uint32_t* minus, size_t count, int8_t* values) {
  for (size_t i = 0; i < count; ++i) {
    const size_t word = i / kWordColumns;
    values[i] = static_cast<int8_t>(trit_at(plus[word], minus[word], i % kWordColumns));
  }
}

int64_t dot_ternary(const uint32_t* a_plus, const uint32_t* a_minus, const uint32_t* b_plus,
                    const uint32_t* b_minus, size_t words) {
  int64_t sum = 0;
  for (size_t i = 0; i < words; ++i) {
    sum += std::popcount((a_plus[i] & b_plus[i]) | (a_minus[i] & b_minus[i]));
    sum -= std::popcount((a_plus[i] & b_minus[i]) | (a_minus[i] & b_plus[i]));
  }
  return sum;
}

int32_t dot_word(uint32_t plus, uint32_t minus, const int8_t* values) {
  int32_t sum = 0;
  for (size_t c = 0; c < kWordColumns; ++c) sum += trit_at(plus, minus, c) * values[c];
  return sum;
}

int64_t dot_int8(const uint32_t* plus, const uint32_t* minus, const int8_t* values, size_t words) {
  int64_t sum = 0;
  for (size_t i = 0; i < words; ++i) sum += dot_word(plus[i], minus[i], values + i * kWordColumns);
  return sum;
}

struct Tile {
  std::array<uint32_t, kTileRows> plus;
  std::array<uint32_t, kTileRows> minus;
};

Tile load_tile(const uint8_t* bytes) {
  Tile tile;
  std::memcpy(tile.plus.data(), bytes, kPlaneBytes);
  std::memcpy(tile.minus.data(), bytes + kPlaneBytes, kPlaneBytes);
  return tile;
}

void matvec_int8(const uint8_t* tiles, size_t row_tile_count, size_t column_tile_count, const int8_t* x,
                 int32_t* sums) {
  for (size_t rt = 0; rt < row_tile_count; ++rt) {
    std::array<int32_t, kTileRows> row_sums{};
    for (size_t ct = 0; ct < column_tile_count; ++ct) {
      const Tile tile = load_tile(tiles + (rt * column_tile_count + ct) * kTileBytes);
      const int8_t* values = x + ct * kTileColumns;
      for (size_t r = 0; r < kTileRows; ++r) row_sums[r] += dot_word(tile.plus[r], tile.minus[r], values);
    }
    std::memcpy(sums + rt * kTileRows, row_sums.data(), sizeof row_sums);
  }
}

void arrange_tokens(const int8_t* x, size_t column_tile_count, size_t batch, int8_t* blocks,
                    int32_t* token_sums) {
  const size_t cols = column_tile_count * kTileColumns;
  for (size_t b = 0; b < batch; ++b) token_sums[b] = std::accumulate(x + b * cols, x + (b + 1) * cols, 0);
  for (size_t first = 0; first < batch; first += kTokenBlock) {
    int8_t* block = blocks + first * cols;
    for (size_t c = 0; c < cols; c += 4) {
      for (size_t t = 0; t < kTokenBlock; ++t) {
        int8_t* four = block + c * kTokenBlock + t * 4;
        if (first + t < batch) {
          std::memcpy(four, x + (first + t) * cols + c, 4);
        } else {
          std::memset(four, 0, 4);
        }
      }
    }
  }
}

void matmul_int8(const uint8_t* tiles, size_t row_tile_count, size_t column_tile_count, const int8_t* blocks,
                 const int32_t* /*token_sums*/, size_t batch, int32_t* sums) {
  const size_t cols = column_tile_count * kTileColumns;
  std::vector<int8_t> x(cols);
  for (size_t b = 0; b < batch; ++b) {
    const int8_t* token = blocks + b / kTokenBlock * kTokenBlock * cols + b % kTokenBlock * 4;
    for (size_t c = 0; c < cols; c += 4) std::memcpy(x.data() + c, token + c * kTokenBlock, 4);
    matvec_int8(tiles, row_tile_count, column_tile_count, x.data(), sums + b * row_tile_count * kTileRows);
  }
}

void scale_sums(const int32_t* sums, size_t count, float factor, bool add, float* y) {
  if (add) {
    for (size_t i = 0; i < count; ++i) y[i] += static_cast<float>(sums[i]) * factor;
  } else {
    for (size_t i = 0; i < count; ++i) y[i] = static_cast<float>(sums[i]) * factor;
  }
}

void matvec_ternary(const uint8_t* tiles, size_t row_tile_count, size_t column_tile_count,
                    const uint32_t* x_plus, const uint32_t* x_minus, int32_t* sums) {
  for (size_t rt = 0; rt < row_tile_count; ++rt) {
    std::array<int32_t, kTileRows> row_sums{};
    for (size_t ct = 0; ct < column_tile_count; ++ct) {
      const Tile tile = load_tile(tiles + (rt * column_tile_count + ct) * kTileBytes);
      for (size_t r = 0; r < kTileRows; ++r) {
        row_sums[r] +=
            static_cast<int32_t>(dot_ternary(&tile.plus[r], &tile.minus[r], x_plus + ct, x_minus + ct, 1));
      }
    }
    std::memcpy(sums + rt * kTileRows, row_sums.data(), sizeof row_sums);
  }
}

float as_float(float value) {
  return value;
}
float as_float(uint16_t half) {
  return f16_to_float(half);
}
float as_float(int8_t code) {
  return static_cast<float>(code);
}

template <class T, size_t kCount>
T folded(std::array<T, kCount> sums) {
  for (size_t half = kCount / 2; half > 0; half /= 2) {
    for (size_t i = 0; i < half; ++i) sums[i] += sums[i + half];
  }
  return sums[0];
}

template <class T>
void matvec(const T* matrix, size_t rows, size_t cols, const float* x, float* y) {
  for (size_t r = 0; r < rows; ++r) {
    std::array<float, 64> sums{};
    for (size_t c = 0; c < cols; ++c)
      sums[c % sums.size()] = std::fma(as_float(matrix[r * cols + c]), x[c], sums[c % sums.size()]);
    y[r] = folded(sums);
  }
}

float quantize_int16(const float* values, size_t count, int16_t* codes) {
  float largest = 0.0F;
  for (size_t i = 0; i < count; ++i) largest = std::max(largest, std::fabs(values[i]));
  if (largest < 1e-30F) {
    std::fill_n(codes, count, int16_t{0});
    return 0.0F;
  }
  const float scale = 32767.0F / largest;
  for (size_t i = 0; i < count; ++i) {
    const float code = std::nearbyint(values[i] * scale);
    codes[i] = static_cast<int16_t>(std::clamp(code, -32768.0F, 32767.0F));
  }
  return largest / 32767.0F;
}

void matvec_q8(const int8_t* codes, const float* row_scales, const int32_t* ids, size_t rows, size_t cols,
               const int16_t* x, float x_scale, float* y) {
  for (size_t i = 0; i < rows; ++i) {
    const size_t r = ids == nullptr ? i : static_cast<size_t>(ids[i]);
    int64_t sum = 0;
    for (size_t c = 0; c < cols; ++c) sum += int64_t{codes[r * cols + c]} * x[c];
    y[i] = static_cast<float>(sum) * (row_scales[r] * x_scale);
  }
}

template <class T>
void add_row(const T* row, size_t cols, float weight, float* y) {
  for (size_t c = 0; c < cols; ++c) y[c] = std::fma(weight, as_float(row[c]), y[c]);
}

template <class T>
void weighted_sum(const T* matrix, size_t rows, size_t cols, const float* weights, bool add, float* y) {
  if (!add) std::fill_n(y, cols, 0.0F);
  for (size_t r = 0; r < rows; ++r) add_row(matrix + r * cols, cols, weights[r], y);
}

void weighted_sum_q8(const int8_t* codes, const float* row_scales, size_t rows, size_t cols,
                     const float* weights, bool add, float* y) {
  if (!add) std::fill_n(y, cols, 0.0F);
  for (size_t r = 0; r < rows; ++r) add_row(codes + r * cols, cols, weights[r] * row_scales[r], y);
}

void rms_norm(const float* x, size_t count, const float* gain, float eps, float* y) {
  std::array<double, 16> sums{};
  for (size_t i = 0; i < count; ++i) {
    sums[i % sums.size()] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
  const auto mean = static_cast<float>(folded(sums) / static_cast<double>(count));
  const float inverse = 1.0F / std::sqrt(mean + eps);
  for (size_t i = 0; i < count; ++i) y[i] = x[i] * inverse * gain[i];
}

/// exp(x) for x <= 0: 2^n * e^r with n = round(x / ln 2), and e^r by its series to r^6 (|r| <= ln(2) / 2: the
/// rest is below 2e-7 of it). ln 2 is taken in two parts, the first with zeros at its end, so that n times it
/// is exact (Cody and Waite 1980, "Software manual for the elementary functions"). 0 below -87.
float softmax_exp(float x) {
  if (!(x >= -87.0F)) return 0.0F;
  const float n = std::nearbyint(x * 1.44269504F);
  const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  float p = 1.0F / 720.0F;
  p = p * r + 1.0F / 120.0F;
  p = p * r + 1.0F / 24.0F;
  p = p * r + 1.0F / 6.0F;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  return p * std::bit_cast<float>((static_cast<int32_t>(n) + 127) << 23);
}

void softmax(float* scores, size_t count, float scale) {
  float largest = -INFINITY;
  for (size_t i = 0; i < count; ++i) {
    scores[i] *= scale;
    largest = std::max(largest, scores[i]);
  }
  std::array<double, 16> sums{};
  for (size_t i = 0; i < count; ++i) {
    scores[i] = softmax_exp(scores[i] - largest);
    sums[i % sums.size()] += static_cast<double>(scores[i]);
  }
  const auto inverse = static_cast<float>(1.0 / folded(sums));
  for (size_t i = 0; i < count; ++i) scores[i] *= inverse;
}

void gate_relu2(const float* gate, const float* up, size_t count, float* y) {
  for (size_t i = 0; i < count; ++i) {
    const float g = std::max(gate[i], 0.0F);
    y[i] = g * g * up[i];
  }
}

uint64_t sum_words(const uint64_t* words, size_t count) {
  return std::accumulate(words, words + count, uint64_t{0});
}

void to_f16(const float* values, size_t count, uint16_t* halves) {
  std::transform(values, values + count, halves, float_to_f16);
}

void from_f16(const uint16_t* halves, size_t count, float* values) {
  std::transform(halves, halves + count, values, f16_to_float);
}

}  // namespace

extern const KernelSet kScalar = {
    .name = "scalar",
    .supported = supported,
    .quantize_int8 = quantize,
    .quantize_int16 = quantize_int16,
    .ternarize = ternarize_to_planes,
    .encode_trits = encode,
    .decode_trits = decode,
    .dot_ternary = dot_ternary,
    .dot_int8 = dot_int8,
    .matvec_int8 = matvec_int8,
    .arrange_tokens = arrange_tokens,
    .matmul_int8 = matmul_int8,
    .scale_sums = scale_sums,
    .matvec_ternary = matvec_ternary,
    .matvec_float = matvec<float>,
    .matvec_f16 = matvec<uint16_t>,
    .matvec_q8 = matvec_q8,
    .weighted_sum_float = weighted_sum<float>,
    .weighted_sum_f16 = weighted_sum<uint16_t>,
    .weighted_sum_q8 = weighted_sum_q8,
    .rms_norm = rms_norm,
    .softmax = softmax,
    .gate_relu2 = gate_relu2,
    .sum_words = sum_words,
    .to_f16 = to_f16,
    .from_f16 = from_f16,
};

}  // namespace rotor::kernels
