// AVX2: what is done to vectors of activations between matrix products.
#include <immintrin.h>

#include "rotor/kernels/avx2.h"
#include "rotor/kernels/kernel_set.h"

namespace rotor::kernels::avx2 {
namespace {

constexpr size_t kLanes = 8;

/// The largest magnitude, at least `least`.
float absmax(const float* values, size_t count, float least) {
  const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF));
  __m256 largest8 = _mm256_set1_ps(least);
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    largest8 = _mm256_max_ps(_mm256_and_ps(_mm256_loadu_ps(values + i), magnitude), largest8);
  }
  float lanes[kLanes];
  _mm256_storeu_ps(lanes, largest8);
  float largest = lanes[0];
  for (size_t lane = 1; lane < kLanes; ++lane) largest = lanes[lane] > largest ? lanes[lane] : largest;
  for (; i < count; ++i) {
    const float v = values[i] < 0 ? -values[i] : values[i];
    largest = v > largest ? v : largest;
  }
  return largest;
}

int nearest(float value) {
  return _mm_cvtss_si32(_mm_set_ss(value));
}

/// Adds the squares of 16 floats, as doubles, to 16 partial sums.
void add_squares(__m256d sums[4], const float* x) {
  for (size_t k = 0; k < 4; ++k) {
    const __m256d v = _mm256_cvtps_pd(_mm_loadu_ps(x + 4 * k));
    sums[k] = _mm256_add_pd(sums[k], _mm256_mul_pd(v, v));
  }
}

double fold16(double* sums) {
  for (size_t half = 8; half > 0; half /= 2) {
    for (size_t i = 0; i < half; ++i) sums[i] += sums[i + half];
  }
  return sums[0];
}

/// softmax_exp of scalar.cpp, step by step.
__m256 exp8(__m256 x) {
  const __m256 in_range = _mm256_cmp_ps(x, _mm256_set1_ps(-87.0F), _CMP_GE_OQ);
  const __m256 n = _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504F)),
                                   _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m256 r = _mm256_add_ps(_mm256_sub_ps(x, _mm256_mul_ps(n, _mm256_set1_ps(0.693359375F))),
                                 _mm256_mul_ps(n, _mm256_set1_ps(2.12194440e-4F)));
  __m256 p = _mm256_set1_ps(1.0F / 720.0F);
  constexpr float kTerms[] = {1.0F / 120.0F, 1.0F / 24.0F, 1.0F / 6.0F, 0.5F, 1.0F, 1.0F};
  for (const float term : kTerms) p = _mm256_add_ps(_mm256_mul_ps(p, r), _mm256_set1_ps(term));
  const __m256i power =
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
  return _mm256_and_ps(in_range, _mm256_mul_ps(p, _mm256_castsi256_ps(power)));
}

}  // namespace

float quantize_int8(const float* values, size_t count, int8_t* codes) {
  const float scale = 127.0F / absmax(values, count, 1e-5F);
  const __m256 scale8 = _mm256_set1_ps(scale);
  size_t i = 0;
  // Packing saturates to -128..127, which is the clamp.
  for (; i + 32 <= count; i += 32) {
    __m256i v[4];
    for (size_t k = 0; k < 4; ++k) {
      v[k] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(values + i + kLanes * k), scale8));
    }
    const __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3]));
    const __m256i in_order = _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + i), in_order);
  }
  for (; i < count; ++i) {
    const int code = nearest(values[i] * scale);
    codes[i] = static_cast<int8_t>(code > 127 ? 127 : code < -128 ? -128 : code);
  }
  return scale;
}

float quantize_int16(const float* values, size_t count, int16_t* codes) {
  const float largest = absmax(values, count, 0.0F);
  if (largest < 1e-30F) {
    for (size_t i = 0; i < count; ++i) codes[i] = 0;
    return 0.0F;
  }
  const float scale = 32767.0F / largest;
  const __m256 scale8 = _mm256_set1_ps(scale);
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const __m256i low = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(values + i), scale8));
    const __m256i high = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(values + i + kLanes), scale8));
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xD8);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + i), packed);
  }
  for (; i < count; ++i) {
    const int code = nearest(values[i] * scale);
    codes[i] = static_cast<int16_t>(code > 32767 ? 32767 : code < -32768 ? -32768 : code);
  }
  return largest / 32767.0F;
}

int32_t sum_of_bytes(const int8_t* x, size_t words) {
  __m256i sums = _mm256_setzero_si256();
  for (size_t i = 0; i < words; ++i) {
    const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i * 32));
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes);
    sums = _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  int32_t lanes[kLanes];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), sums);
  int32_t sum = 0;
  for (const int32_t lane : lanes) sum += lane;
  return sum;
}

void arrange_tokens(const int8_t* x, size_t column_tiles, size_t batch, int8_t* blocks, int32_t* token_sums) {
  const size_t cols = column_tiles * 32;
  for (size_t b = 0; b < batch; ++b) token_sums[b] = sum_of_bytes(x + b * cols, column_tiles);
  for (size_t first = 0; first < batch; first += kTokenBlock) {
    const size_t tokens = batch - first < kTokenBlock ? batch - first : kTokenBlock;
    int8_t* block = blocks + first * cols;
    for (size_t c = 0; c < cols; c += 32) {
      // Eight tokens of eight dwords, transposed.
      __m256 row[kTokenBlock];
      for (size_t t = 0; t < kTokenBlock; ++t) {
        row[t] = t < tokens ? _mm256_loadu_ps(reinterpret_cast<const float*>(x + (first + t) * cols + c))
                            : _mm256_setzero_ps();
      }
      __m256 pair[kTokenBlock];
      for (size_t t = 0; t < kTokenBlock; t += 2) {
        pair[t] = _mm256_unpacklo_ps(row[t], row[t + 1]);
        pair[t + 1] = _mm256_unpackhi_ps(row[t], row[t + 1]);
      }
      for (size_t t = 0; t < kTokenBlock; t += 4) {
        row[t] = _mm256_shuffle_ps(pair[t], pair[t + 2], 0x44);
        row[t + 1] = _mm256_shuffle_ps(pair[t], pair[t + 2], 0xEE);
        row[t + 2] = _mm256_shuffle_ps(pair[t + 1], pair[t + 3], 0x44);
        row[t + 3] = _mm256_shuffle_ps(pair[t + 1], pair[t + 3], 0xEE);
      }
      auto* out = reinterpret_cast<float*>(block + c * kTokenBlock);
      for (size_t k = 0; k < 4; ++k) {
        _mm256_storeu_ps(out + 8 * k, _mm256_permute2f128_ps(row[k], row[k + 4], 0x20));
        _mm256_storeu_ps(out + 8 * (k + 4), _mm256_permute2f128_ps(row[k], row[k + 4], 0x31));
      }
    }
  }
}

void scale_sums(const int32_t* sums, size_t count, float factor, bool add, float* y) {
  if (add) {
    for (size_t i = 0; i < count; ++i) y[i] += static_cast<float>(sums[i]) * factor;
  } else {
    for (size_t i = 0; i < count; ++i) y[i] = static_cast<float>(sums[i]) * factor;
  }
}

void rms_norm(const float* x, size_t count, const float* gain, float eps, float* y) {
  __m256d sums[4] = {_mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd()};
  size_t i = 0;
  for (; i + 16 <= count; i += 16) add_squares(sums, x + i);
  double partial[16];
  for (size_t k = 0; k < 4; ++k) _mm256_storeu_pd(partial + 4 * k, sums[k]);
  for (; i < count; ++i) partial[i % 16] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  const auto mean = static_cast<float>(fold16(partial) / static_cast<double>(count));
  const float inverse = 1.0F / _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(mean + eps)));
  const __m256 inverse8 = _mm256_set1_ps(inverse);
  for (i = 0; i + kLanes <= count; i += kLanes) {
    const __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(x + i), inverse8);
    _mm256_storeu_ps(y + i, _mm256_mul_ps(scaled, _mm256_loadu_ps(gain + i)));
  }
  for (; i < count; ++i) y[i] = x[i] * inverse * gain[i];
}

void softmax(float* scores, size_t count, float scale) {
  constexpr size_t kBlock = 16;
  float largest = -__builtin_inff();
  for (size_t i = 0; i < count; ++i) {
    scores[i] *= scale;
    largest = scores[i] > largest ? scores[i] : largest;
  }
  const __m256 largest8 = _mm256_set1_ps(largest);
  double partial[kBlock] = {};
  size_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    for (size_t k = 0; k < kBlock; k += kLanes) {
      _mm256_storeu_ps(scores + i + k, exp8(_mm256_sub_ps(_mm256_loadu_ps(scores + i + k), largest8)));
    }
    for (size_t k = 0; k < kBlock; k += 4) {
      const __m256d v = _mm256_cvtps_pd(_mm_loadu_ps(scores + i + k));
      _mm256_storeu_pd(partial + k, _mm256_add_pd(_mm256_loadu_pd(partial + k), v));
    }
  }
  for (; i < count; ++i) {
    scores[i] = _mm256_cvtss_f32(exp8(_mm256_set1_ps(scores[i] - largest)));
    partial[i % kBlock] += static_cast<double>(scores[i]);
  }
  const auto inverse = static_cast<float>(1.0 / fold16(partial));
  for (i = 0; i < count; ++i) scores[i] *= inverse;
}

void gate_relu2(const float* gate, const float* up, size_t count, float* y) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const __m256 g = _mm256_max_ps(_mm256_loadu_ps(gate + i), _mm256_setzero_ps());
    _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_mul_ps(g, g), _mm256_loadu_ps(up + i)));
  }
  for (; i < count; ++i) {
    const float g = gate[i] > 0.0F ? gate[i] : 0.0F;
    y[i] = g * g * up[i];
  }
}

uint64_t sum_words(const uint64_t* words, size_t count) {
  constexpr size_t kWords = 4;  // of a register
  __m256i sums[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                     _mm256_setzero_si256()};
  size_t i = 0;
  for (; i + 4 * kWords <= count; i += 4 * kWords) {
    for (size_t k = 0; k < 4; ++k) {
      const auto* at = reinterpret_cast<const __m256i*>(words + i + k * kWords);
      sums[k] = _mm256_add_epi64(sums[k], _mm256_loadu_si256(at));
    }
  }
  uint64_t lanes[kWords];
  const __m256i all =
      _mm256_add_epi64(_mm256_add_epi64(sums[0], sums[1]), _mm256_add_epi64(sums[2], sums[3]));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), all);
  uint64_t sum = lanes[0] + lanes[1] + lanes[2] + lanes[3];
  for (; i < count; ++i) sum += words[i];
  return sum;
}

void from_f16(const uint16_t* halves, size_t count, float* values) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(halves + i));
    _mm256_storeu_ps(values + i, _mm256_cvtph_ps(half));
  }
  for (; i < count; ++i) values[i] = _cvtsh_ss(halves[i]);
}

void to_f16(const float* values, size_t count, uint16_t* halves) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const __m128i half = _mm256_cvtps_ph(_mm256_loadu_ps(values + i), _MM_FROUND_TO_NEAREST_INT);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(halves + i), half);
  }
  for (; i < count; ++i) {
    halves[i] = static_cast<uint16_t>(_cvtss_sh(values[i], _MM_FROUND_TO_NEAREST_INT));
  }
}

}  // namespace rotor::kernels::avx2
