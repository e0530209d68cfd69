// Kernels for AVX2 on dense matrices of float32, binary16 and int8 (token embedding, head, KV cache).
// Compiled with -mavx2 -mf16c, so it calls no inline function or template of a shared header (see avx2.cpp).
//
// Every sum has the order that kernel_set.h fixes, so four rows are computed side by side to hide the latency
// of the additions of each.
#include "rotor/kernels/avx2_dense.h"

#include <immintrin.h>

namespace rotor::kernels::avx2 {
namespace {

constexpr size_t kLanes = 8;
constexpr size_t kRowsAtOnce = 4;

__m256 load8(const float* p) {
  return _mm256_loadu_ps(p);
}
__m256 load8(const uint16_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
__m256 load8(const int8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}

float as_float(float value) {
  return value;
}
float as_float(uint16_t half) {
  return _cvtsh_ss(half);
}
float as_float(int8_t code) {
  return static_cast<float>(code);
}

/// Adds the products of the columns past the last whole group of eight, then the eight partial sums.
template <class T>
float finish_dot(__m256 sums, const T* row, size_t first, size_t cols, const float* x) {
  float s[kLanes];
  _mm256_storeu_ps(s, sums);
  for (size_t c = first; c < cols; ++c) s[c % kLanes] += as_float(row[c]) * x[c];
  return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

template <int kRows, class T>
void dot_rows(const T* matrix, size_t cols, const float* x, float* y) {
  __m256 sums[kRows];
  for (int r = 0; r < kRows; ++r) sums[r] = _mm256_setzero_ps();
  const size_t whole = cols / kLanes * kLanes;
  for (size_t c = 0; c < whole; c += kLanes) {
    const __m256 values = _mm256_loadu_ps(x + c);
    for (int r = 0; r < kRows; ++r) {
      sums[r] =
          _mm256_add_ps(sums[r], _mm256_mul_ps(load8(matrix + static_cast<size_t>(r) * cols + c), values));
    }
  }
  for (int r = 0; r < kRows; ++r) {
    y[r] = finish_dot(sums[r], matrix + static_cast<size_t>(r) * cols, whole, cols, x);
  }
}

template <class T>
void matvec(const T* matrix, size_t rows, size_t cols, const float* x, float* y) {
  size_t r = 0;
  for (; r + kRowsAtOnce <= rows; r += kRowsAtOnce) dot_rows<kRowsAtOnce>(matrix + r * cols, cols, x, y + r);
  for (; r < rows; ++r) dot_rows<1>(matrix + r * cols, cols, x, y + r);
}

/// `scale(r)` is the factor of row r. Columns in strips of four registers, so that y stays in registers.
template <class T, class Scale>
void weighted_sum(const T* matrix, size_t rows, size_t cols, float* y, Scale scale) {
  constexpr size_t kStrip = 4 * kLanes;
  size_t c = 0;
  for (; c + kStrip <= cols; c += kStrip) {
    __m256 sums[4];
    for (int k = 0; k < 4; ++k) sums[k] = _mm256_setzero_ps();
    for (size_t r = 0; r < rows; ++r) {
      const __m256 factor = _mm256_set1_ps(scale(r));
      const T* row = matrix + r * cols + c;
      for (int k = 0; k < 4; ++k) {
        sums[k] = _mm256_add_ps(sums[k], _mm256_mul_ps(factor, load8(row + static_cast<size_t>(k) * kLanes)));
      }
    }
    for (int k = 0; k < 4; ++k) _mm256_storeu_ps(y + c + static_cast<size_t>(k) * kLanes, sums[k]);
  }
  for (; c < cols; ++c) {
    float sum = 0.0F;
    for (size_t r = 0; r < rows; ++r) sum += scale(r) * as_float(matrix[r * cols + c]);
    y[c] = sum;
  }
}

}  // namespace

void matvec_float(const float* matrix, size_t rows, size_t cols, const float* x, float* y) {
  matvec(matrix, rows, cols, x, y);
}

void matvec_f16(const uint16_t* matrix, size_t rows, size_t cols, const float* x, float* y) {
  matvec(matrix, rows, cols, x, y);
}

void matvec_q8(const int8_t* codes, const float* row_scales, size_t rows, size_t cols, const float* x,
               float* y) {
  matvec(codes, rows, cols, x, y);
  for (size_t r = 0; r < rows; ++r) y[r] *= row_scales[r];
}

void weighted_sum_float(const float* matrix, size_t rows, size_t cols, const float* weights, float* y) {
  weighted_sum(matrix, rows, cols, y, [weights](size_t r) { return weights[r]; });
}

void weighted_sum_f16(const uint16_t* matrix, size_t rows, size_t cols, const float* weights, float* y) {
  weighted_sum(matrix, rows, cols, y, [weights](size_t r) { return weights[r]; });
}

void weighted_sum_q8(const int8_t* codes, const float* row_scales, size_t rows, size_t cols,
                     const float* weights, float* y) {
  weighted_sum(codes, rows, cols, y, [=](size_t r) { return weights[r] * row_scales[r]; });
}

}  // namespace rotor::kernels::avx2
