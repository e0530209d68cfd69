// AVX2: products with dense matrices of float32, binary16 and int8 (token embedding, head, KV cache), in the
// orders that kernel_set.h fixes.
#include <immintrin.h>

#include "rotor/kernels/avx2.h"
#include "rotor/kernels/x86_prefetch.h"

namespace rotor::kernels::avx2 {
namespace {

constexpr size_t kLanes = 8;

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

constexpr size_t kPartial = 64;
constexpr size_t kRegisters = kPartial / kLanes;

/// The 64 partial sums, folded.
float folded(const __m256 sums[kRegisters]) {
  const __m256 first = _mm256_add_ps(_mm256_add_ps(sums[0], sums[4]), _mm256_add_ps(sums[2], sums[6]));
  const __m256 second = _mm256_add_ps(_mm256_add_ps(sums[1], sums[5]), _mm256_add_ps(sums[3], sums[7]));
  const __m256 eight = _mm256_add_ps(first, second);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/// Adds the products of a row's last columns, fewer than 64, to the partial sums.
template <class T>
void add_last_columns(__m256 sums[kRegisters], const T* row, const float* x, size_t count) {
  float s[kPartial];
  for (size_t k = 0; k < kRegisters; ++k) _mm256_storeu_ps(s + k * kLanes, sums[k]);
  size_t c = 0;
  for (; c + kLanes <= count; c += kLanes) {
    _mm256_storeu_ps(s + c, _mm256_fmadd_ps(load8(row + c), _mm256_loadu_ps(x + c), _mm256_loadu_ps(s + c)));
  }
  for (; c < count; ++c) s[c] = __builtin_fmaf(as_float(row[c]), x[c], s[c]);
  for (size_t k = 0; k < kRegisters; ++k) sums[k] = _mm256_loadu_ps(s + k * kLanes);
}

/// One row after the other, so that memory is read as one stream; eight registers of partial sums hide the
/// latency of the additions.
template <class T>
void matvec(const T* matrix, size_t rows, size_t cols, const float* x, float* y) {
  const size_t whole = cols / kPartial * kPartial;
  for (size_t r = 0; r < rows; ++r) {
    const T* row = matrix + r * cols;
    __m256 sums[kRegisters];
    for (__m256& sum : sums) sum = _mm256_setzero_ps();
    for (size_t c = 0; c < whole; c += kPartial) {
#pragma GCC unroll 8
      for (size_t k = 0; k < kRegisters; ++k) {
        const size_t at = c + k * kLanes;
        sums[k] = _mm256_fmadd_ps(load8(row + at), _mm256_loadu_ps(x + at), sums[k]);
      }
    }
    if (whole < cols) add_last_columns(sums, row + whole, x + whole, cols - whole);
    y[r] = folded(sums);
  }
}

/// Sums of 32 bits hold 2^12 products of a lane each; longer rows are added up in parts.
int64_t dot_q8(const int8_t* codes, const int16_t* x, size_t cols, const int8_t* soon, const int8_t* later) {
  constexpr size_t kPart = size_t{1} << 12;
  int64_t sum = 0;
  size_t c = 0;
  while (c + 16 <= cols) {
    __m256i sums[4];
    for (__m256i& s : sums) s = _mm256_setzero_si256();
    const size_t end = cols - c > kPart ? c + kPart : cols;
    const auto add = [&](__m256i& s) {
      const __m256i wide = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + c)));
      const __m256i v = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + c));
      s = _mm256_add_epi32(s, _mm256_madd_epi16(wide, v));
      c += 16;
    };
    while (c + 64 <= end) {
      _mm_prefetch(reinterpret_cast<const char*>(soon + c), _MM_HINT_T0);
      _mm_prefetch(reinterpret_cast<const char*>(later + c), _MM_HINT_T1);
      for (__m256i& s : sums) add(s);
    }
    while (c + 16 <= end) add(sums[0]);
    __m256i wide = _mm256_setzero_si256();
    for (const __m256i s : sums) {
      wide = _mm256_add_epi64(wide, _mm256_cvtepi32_epi64(_mm256_castsi256_si128(s)));
      wide = _mm256_add_epi64(wide, _mm256_cvtepi32_epi64(_mm256_extracti128_si256(s, 1)));
    }
    int64_t lanes[4];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), wide);
    sum += (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
  }
  for (; c < cols; ++c) sum += int64_t{codes[c]} * x[c];
  return sum;
}

/// `scale(r)` is the factor of row r. Columns in strips of eight registers, so that y stays in registers.
template <class T, class Scale>
void weighted_sum(const T* matrix, size_t rows, size_t cols, bool add, float* y, Scale scale) {
  constexpr size_t kStripRegisters = 8;
  constexpr size_t kStrip = kStripRegisters * kLanes;
  size_t c = 0;
  for (; c + kStrip <= cols; c += kStrip) {
    __m256 sums[kStripRegisters];
#pragma GCC unroll 8
    for (size_t k = 0; k < kStripRegisters; ++k) {
      sums[k] = add ? _mm256_loadu_ps(y + c + k * kLanes) : _mm256_setzero_ps();
    }
    for (size_t r = 0; r < rows; ++r) {
      const __m256 factor = _mm256_set1_ps(scale(r));
      const T* row = matrix + r * cols + c;
#pragma GCC unroll 8
      for (size_t k = 0; k < kStripRegisters; ++k) {
        sums[k] = _mm256_fmadd_ps(factor, load8(row + k * kLanes), sums[k]);
      }
    }
#pragma GCC unroll 8
    for (size_t k = 0; k < kStripRegisters; ++k) _mm256_storeu_ps(y + c + k * kLanes, sums[k]);
  }
  for (; c + kLanes <= cols; c += kLanes) {
    __m256 sum = add ? _mm256_loadu_ps(y + c) : _mm256_setzero_ps();
    for (size_t r = 0; r < rows; ++r) {
      sum = _mm256_fmadd_ps(_mm256_set1_ps(scale(r)), load8(matrix + r * cols + c), sum);
    }
    _mm256_storeu_ps(y + c, sum);
  }
  for (; c < cols; ++c) {
    float sum = add ? y[c] : 0.0F;
    for (size_t r = 0; r < rows; ++r) sum = __builtin_fmaf(scale(r), as_float(matrix[r * cols + c]), sum);
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

void matvec_q8(const int8_t* codes, const float* row_scales, const int32_t* ids, size_t rows, size_t cols,
               const int16_t* x, float x_scale, float* y) {
  matvec_rows(codes, row_scales, ids, rows, cols, x, x_scale, y, dot_q8);
}

void weighted_sum_float(const float* matrix, size_t rows, size_t cols, const float* weights, bool add,
                        float* y) {
  weighted_sum(matrix, rows, cols, add, y, [weights](size_t r) { return weights[r]; });
}

void weighted_sum_f16(const uint16_t* matrix, size_t rows, size_t cols, const float* weights, bool add,
                      float* y) {
  weighted_sum(matrix, rows, cols, add, y, [weights](size_t r) { return weights[r]; });
}

void weighted_sum_q8(const int8_t* codes, const float* row_scales, size_t rows, size_t cols,
                     const float* weights, bool add, float* y) {
  weighted_sum(codes, rows, cols, add, y, [=](size_t r) { return weights[r] * row_scales[r]; });
}

}  // namespace rotor::kernels::avx2
