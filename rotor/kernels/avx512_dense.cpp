// AVX-512: products with dense matrices of float32, binary16 and int8 (token embedding, head, KV cache), in
// the orders that kernel_set.h fixes.
#include <immintrin.h>

#include "rotor/kernels/avx512.h"
#include "rotor/kernels/x86_prefetch.h"

namespace rotor::kernels::avx512 {
namespace {

constexpr size_t kLanes = 16;

__m512 load16(const float* p, __mmask16 lanes) {
  return _mm512_maskz_loadu_ps(lanes, p);
}
__m512 load16(const uint16_t* p, __mmask16 lanes) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, p));
}
__m512 load16(const int8_t* p, __mmask16 lanes) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(lanes, p)));
}
__m512 load16(const float* p) {
  return _mm512_loadu_ps(p);
}
__m512 load16(const uint16_t* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
__m512 load16(const int8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}

__mmask16 first_lanes(size_t count) {
  return static_cast<__mmask16>((1U << count) - 1U);
}

/// The sum of 16 lanes, folded.
float fold16(__m512 v) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/// Lanes of four rows folded to four each.
__m512 fold_four_rows(__m512 a, __m512 b, __m512 c, __m512 d) {
  const __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xEE));
  const __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xEE));
  return _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xDD));
}

/// The sums of sixteen rows, each folded as fold16 does.
__m512 fold_sixteen_rows(const __m512 rows[16]) {
  __m512 four[4];
  for (size_t j = 0; j < 4; ++j) four[j] = fold_four_rows(rows[j], rows[4 + j], rows[8 + j], rows[12 + j]);
  const __m512 low =
      _mm512_add_ps(_mm512_shuffle_ps(four[0], four[1], 0x44), _mm512_shuffle_ps(four[0], four[1], 0xEE));
  const __m512 high =
      _mm512_add_ps(_mm512_shuffle_ps(four[2], four[3], 0x44), _mm512_shuffle_ps(four[2], four[3], 0xEE));
  return _mm512_add_ps(_mm512_shuffle_ps(low, high, 0x88), _mm512_shuffle_ps(low, high, 0xDD));
}

/// A row's products with x in 64 partial sums, folded to 16.
template <class T>
__m512 dot_row(const T* row, size_t cols, const float* x) {
  constexpr size_t kPartial = 4 * kLanes;
  const size_t whole = cols / kPartial * kPartial;
  __m512 sums[4] = {_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps()};
  for (size_t c = 0; c < whole; c += kPartial) {
#pragma GCC unroll 4
    for (size_t k = 0; k < 4; ++k) {
      const size_t at = c + k * kLanes;
      sums[k] = _mm512_fmadd_ps(load16(row + at), _mm512_loadu_ps(x + at), sums[k]);
    }
  }
#pragma GCC unroll 4
  for (size_t k = 0; k < 4; ++k) {
    const size_t at = whole + k * kLanes;
    if (at >= cols) continue;
    const __mmask16 lanes = first_lanes(cols - at < kLanes ? cols - at : kLanes);
    sums[k] =
        _mm512_mask3_fmadd_ps(load16(row + at, lanes), _mm512_maskz_loadu_ps(lanes, x + at), sums[k], lanes);
  }
  return _mm512_add_ps(_mm512_add_ps(sums[0], sums[2]), _mm512_add_ps(sums[1], sums[3]));
}

/// One row after the other, so that memory is read as one stream.
template <class T>
void matvec(const T* matrix, size_t rows, size_t cols, const float* x, float* y) {
  constexpr size_t kRows = 16;
  size_t r = 0;
  for (; r + kRows <= rows; r += kRows) {
    __m512 sums[kRows];
#pragma GCC unroll 16
    for (size_t i = 0; i < kRows; ++i) sums[i] = dot_row(matrix + (r + i) * cols, cols, x);
    _mm512_storeu_ps(y + r, fold_sixteen_rows(sums));
  }
  for (; r < rows; ++r) y[r] = fold16(dot_row(matrix + r * cols, cols, x));
}

__m512i multiply_pairs(const int8_t* codes, const int16_t* x, __mmask32 lanes) {
  return _mm512_madd_epi16(_mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(lanes, codes)),
                           _mm512_maskz_loadu_epi16(lanes, x));
}
__m512i multiply_pairs(const int8_t* codes, const int16_t* x) {
  return _mm512_madd_epi16(_mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes))),
                           _mm512_loadu_si512(x));
}

/// A lane of 32 bits holds its share of 2^12 products, 128 pairs of at most 2^23 each, those of all four
/// registers together; longer rows are added up in parts.
int64_t dot_q8(const int8_t* codes, const int16_t* x, size_t cols, const int8_t* soon, const int8_t* later) {
  constexpr size_t kPart = size_t{1} << 12;
  int64_t sum = 0;
  for (size_t c = 0; c < cols;) {
    const size_t end = cols - c > kPart ? c + kPart : cols;
    __m512i sums[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                       _mm512_setzero_si512()};
    for (; c + 128 <= end; c += 128) {
      prefetch(soon + c, later + c);
#pragma GCC unroll 4
      for (size_t k = 0; k < 4; ++k) {
        sums[k] = _mm512_add_epi32(sums[k], multiply_pairs(codes + c + 32 * k, x + c + 32 * k));
      }
    }
    for (; c < end; c += 32) {
      const auto lanes = static_cast<__mmask32>(end - c < 32 ? (uint32_t{1} << (end - c)) - 1 : ~uint32_t{0});
      sums[0] = _mm512_add_epi32(sums[0], multiply_pairs(codes + c, x + c, lanes));
    }
    c = end;
    const __m512i all =
        _mm512_add_epi32(_mm512_add_epi32(sums[0], sums[1]), _mm512_add_epi32(sums[2], sums[3]));
    sum +=
        _mm512_reduce_add_epi64(_mm512_add_epi64(_mm512_cvtepi32_epi64(_mm512_castsi512_si256(all)),
                                                 _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(all, 1))));
  }
  return sum;
}

/// `scale(r)` is the factor of row r. Columns in strips of eight registers, so that y stays in registers.
template <class T, class Scale>
void weighted_sum(const T* matrix, size_t rows, size_t cols, bool add, float* y, Scale scale) {
  constexpr size_t kRegisters = 8;
  constexpr size_t kStrip = kRegisters * kLanes;
  size_t c = 0;
  for (; c + kStrip <= cols; c += kStrip) {
    __m512 sums[kRegisters];
#pragma GCC unroll 8
    for (size_t k = 0; k < kRegisters; ++k) {
      sums[k] = add ? _mm512_loadu_ps(y + c + k * kLanes) : _mm512_setzero_ps();
    }
    for (size_t r = 0; r < rows; ++r) {
      const __m512 factor = _mm512_set1_ps(scale(r));
      const T* row = matrix + r * cols + c;
#pragma GCC unroll 8
      for (size_t k = 0; k < kRegisters; ++k) {
        sums[k] = _mm512_fmadd_ps(factor, load16(row + k * kLanes), sums[k]);
      }
    }
#pragma GCC unroll 8
    for (size_t k = 0; k < kRegisters; ++k) _mm512_storeu_ps(y + c + k * kLanes, sums[k]);
  }
  for (; c < cols; c += kLanes) {
    const __mmask16 lanes = first_lanes(cols - c < kLanes ? cols - c : kLanes);
    __m512 sum = add ? _mm512_maskz_loadu_ps(lanes, y + c) : _mm512_setzero_ps();
    for (size_t r = 0; r < rows; ++r) {
      sum = _mm512_fmadd_ps(_mm512_set1_ps(scale(r)), load16(matrix + r * cols + c, lanes), sum);
    }
    _mm512_mask_storeu_ps(y + c, lanes, sum);
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

}  // namespace rotor::kernels::avx512
