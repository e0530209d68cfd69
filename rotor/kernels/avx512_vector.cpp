// AVX-512: what is done to vectors of activations between matrix products.
#include <immintrin.h>

#include "rotor/kernels/avx512.h"

namespace rotor::kernels::avx512 {
namespace {

constexpr size_t kLanes = 16;

__mmask16 first_lanes(size_t count) {
  return static_cast<__mmask16>((1U << count) - 1U);
}

/// Sums of 16 doubles in two registers, folded.
double fold16(__m512d low, __m512d high) {
  double sums[8];
  _mm512_storeu_pd(sums, _mm512_add_pd(low, high));
  for (size_t half = 4; half > 0; half /= 2) {
    for (size_t i = 0; i < half; ++i) sums[i] += sums[i + half];
  }
  return sums[0];
}

__m512d low_doubles(__m512 v) {
  return _mm512_cvtps_pd(_mm512_castps512_ps256(v));
}
__m512d high_doubles(__m512 v) {
  return _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
}

/// softmax_exp of scalar.cpp, step by step.
__m512 exp16(__m512 x) {
  const __mmask16 in_range = _mm512_cmp_ps_mask(x, _mm512_set1_ps(-87.0F), _CMP_GE_OQ);
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504F)),
                                        _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 r = _mm512_add_ps(_mm512_sub_ps(x, _mm512_mul_ps(n, _mm512_set1_ps(0.693359375F))),
                                 _mm512_mul_ps(n, _mm512_set1_ps(2.12194440e-4F)));
  __m512 p = _mm512_set1_ps(1.0F / 720.0F);
  constexpr float kTerms[] = {1.0F / 120.0F, 1.0F / 24.0F, 1.0F / 6.0F, 0.5F, 1.0F, 1.0F};
  for (const float term : kTerms) p = _mm512_add_ps(_mm512_mul_ps(p, r), _mm512_set1_ps(term));
  const __m512i power =
      _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23);
  return _mm512_maskz_mul_ps(in_range, p, _mm512_castsi512_ps(power));
}

}  // namespace

float quantize_int8(const float* values, size_t count, int8_t* codes) {
  __m512 largest = _mm512_set1_ps(1e-5F);
  for (size_t i = 0; i < count; i += kLanes) {
    const __mmask16 lanes = first_lanes(count - i < kLanes ? count - i : kLanes);
    largest = _mm512_max_ps(_mm512_abs_ps(_mm512_maskz_loadu_ps(lanes, values + i)), largest);
  }
  const float scale = 127.0F / _mm512_reduce_max_ps(largest);
  const __m512 scales = _mm512_set1_ps(scale);
  for (size_t i = 0; i < count; i += kLanes) {
    const __mmask16 lanes = first_lanes(count - i < kLanes ? count - i : kLanes);
    const __m512i v = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, values + i), scales));
    _mm512_mask_cvtsepi32_storeu_epi8(codes + i, lanes, v);  // saturates to -128..127, which is the clamp
  }
  return scale;
}

void rms_norm(const float* x, size_t count, const float* gain, float eps, float* y) {
  __m512d low = _mm512_setzero_pd();
  __m512d high = _mm512_setzero_pd();
  for (size_t i = 0; i < count; i += kLanes) {
    const __mmask16 lanes = first_lanes(count - i < kLanes ? count - i : kLanes);
    const __m512 v = _mm512_maskz_loadu_ps(lanes, x + i);  // squares of zeros add nothing
    low = _mm512_add_pd(low, _mm512_mul_pd(low_doubles(v), low_doubles(v)));
    high = _mm512_add_pd(high, _mm512_mul_pd(high_doubles(v), high_doubles(v)));
  }
  const auto mean = static_cast<float>(fold16(low, high) / static_cast<double>(count));
  const float inverse = 1.0F / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean + eps)));
  const __m512 inverses = _mm512_set1_ps(inverse);
  for (size_t i = 0; i < count; i += kLanes) {
    const __mmask16 lanes = first_lanes(count - i < kLanes ? count - i : kLanes);
    const __m512 scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, x + i), inverses);
    _mm512_mask_storeu_ps(y + i, lanes, _mm512_mul_ps(scaled, _mm512_maskz_loadu_ps(lanes, gain + i)));
  }
}

void softmax(float* scores, size_t count, float scale) {
  const __m512 scales = _mm512_set1_ps(scale);
  const __m512 lowest = _mm512_set1_ps(-__builtin_inff());
  __m512 largest = lowest;
  for (size_t i = 0; i < count; i += kLanes) {
    const __mmask16 lanes = first_lanes(count - i < kLanes ? count - i : kLanes);
    const __m512 scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, scores + i), scales);
    _mm512_mask_storeu_ps(scores + i, lanes, scaled);
    largest = _mm512_max_ps(_mm512_mask_mov_ps(lowest, lanes, scaled), largest);
  }
  largest = _mm512_set1_ps(_mm512_reduce_max_ps(largest));
  __m512d low = _mm512_setzero_pd();
  __m512d high = _mm512_setzero_pd();
  for (size_t i = 0; i < count; i += kLanes) {
    const __mmask16 lanes = first_lanes(count - i < kLanes ? count - i : kLanes);
    const __m512 e = exp16(_mm512_sub_ps(_mm512_mask_loadu_ps(lowest, lanes, scores + i), largest));
    _mm512_mask_storeu_ps(scores + i, lanes, e);
    low = _mm512_add_pd(low, low_doubles(e));
    high = _mm512_add_pd(high, high_doubles(e));
  }
  const auto inverse = static_cast<float>(1.0 / fold16(low, high));
  const __m512 inverses = _mm512_set1_ps(inverse);
  for (size_t i = 0; i < count; i += kLanes) {
    const __mmask16 lanes = first_lanes(count - i < kLanes ? count - i : kLanes);
    _mm512_mask_storeu_ps(scores + i, lanes,
                          _mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, scores + i), inverses));
  }
}

uint64_t sum_words(const uint64_t* words, size_t count) {
  constexpr size_t kWords = 8;  // of a register
  __m512i sums[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                     _mm512_setzero_si512()};
  size_t i = 0;
  for (; i + 4 * kWords <= count; i += 4 * kWords) {
    for (size_t k = 0; k < 4; ++k) {
      sums[k] = _mm512_add_epi64(sums[k], _mm512_loadu_si512(words + i + k * kWords));
    }
  }
  const __m512i all =
      _mm512_add_epi64(_mm512_add_epi64(sums[0], sums[1]), _mm512_add_epi64(sums[2], sums[3]));
  uint64_t lanes[kWords];
  _mm512_storeu_si512(lanes, all);
  uint64_t sum = 0;
  for (const uint64_t lane : lanes) sum += lane;
  for (; i < count; ++i) sum += words[i];
  return sum;
}

}  // namespace rotor::kernels::avx512
