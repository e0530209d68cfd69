// The reference kernels: plain C++, the same on every machine. Others are tested against these.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
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

void matmul_int8(const uint8_t* tiles, size_t row_tile_count, size_t column_tile_count, const int8_t* x,
                 size_t batch, int32_t* sums) {
  for (size_t b = 0; b < batch; ++b) {
    for (size_t rt = 0; rt < row_tile_count; ++rt) {
      std::array<int32_t, kTileRows> row_sums{};
      for (size_t ct = 0; ct < column_tile_count; ++ct) {
        const Tile tile = load_tile(tiles + (rt * column_tile_count + ct) * kTileBytes);
        const int8_t* values = x + (b * column_tile_count + ct) * kTileColumns;
        for (size_t r = 0; r < kTileRows; ++r) row_sums[r] += dot_word(tile.plus[r], tile.minus[r], values);
      }
      std::memcpy(sums + (b * row_tile_count + rt) * kTileRows, row_sums.data(), sizeof row_sums);
    }
  }
}

void matvec_int8(const uint8_t* tiles, size_t row_tile_count, size_t column_tile_count, const int8_t* x,
                 int32_t* sums) {
  matmul_int8(tiles, row_tile_count, column_tile_count, x, 1, sums);
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

template <class T>
float dot(const T* row, size_t cols, const float* x) {
  constexpr size_t kLanes = 8;
  std::array<float, kLanes> s{};
  for (size_t c = 0; c < cols; ++c) s[c % kLanes] += as_float(row[c]) * x[c];
  return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

template <class T>
void matvec(const T* matrix, size_t rows, size_t cols, const float* x, float* y) {
  for (size_t r = 0; r < rows; ++r) y[r] = dot(matrix + r * cols, cols, x);
}

void matvec_q8(const int8_t* codes, const float* row_scales, size_t rows, size_t cols, const float* x,
               float* y) {
  for (size_t r = 0; r < rows; ++r) y[r] = dot(codes + r * cols, cols, x) * row_scales[r];
}

template <class T>
void add_row(const T* row, size_t cols, float weight, float* y) {
  for (size_t c = 0; c < cols; ++c) y[c] += weight * as_float(row[c]);
}

template <class T>
void weighted_sum(const T* matrix, size_t rows, size_t cols, const float* weights, float* y) {
  std::fill_n(y, cols, 0.0F);
  for (size_t r = 0; r < rows; ++r) add_row(matrix + r * cols, cols, weights[r], y);
}

void weighted_sum_q8(const int8_t* codes, const float* row_scales, size_t rows, size_t cols,
                     const float* weights, float* y) {
  std::fill_n(y, cols, 0.0F);
  for (size_t r = 0; r < rows; ++r) add_row(codes + r * cols, cols, weights[r] * row_scales[r], y);
}

}  // namespace

extern const KernelSet kScalar = {
    .name = "scalar",
    .supported = supported,
    .quantize_int8 = quantize,
    .ternarize = ternarize_to_planes,
    .encode_trits = encode,
    .decode_trits = decode,
    .dot_ternary = dot_ternary,
    .dot_int8 = dot_int8,
    .matvec_int8 = matvec_int8,
    .matmul_int8 = matmul_int8,
    .matvec_ternary = matvec_ternary,
    .matvec_float = matvec<float>,
    .matvec_f16 = matvec<uint16_t>,
    .matvec_q8 = matvec_q8,
    .weighted_sum_float = weighted_sum<float>,
    .weighted_sum_f16 = weighted_sum<uint16_t>,
    .weighted_sum_q8 = weighted_sum_q8,
};

}  // namespace rotor::kernels
