// NEON: what is done to vectors of activations between matrix products.
#include <arm_neon.h>

#include "rotor/kernels/kernel_set.h"
#include "rotor/kernels/neon.h"

namespace rotor::kernels::neon {
namespace {

constexpr size_t kLanes = 4;

/// The largest magnitude, at least `least`.
float absmax(const float* values, size_t count, float least) {
  float32x4_t largest4 = vdupq_n_f32(least);
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) largest4 = vmaxq_f32(largest4, vabsq_f32(vld1q_f32(values + i)));
  float largest = vmaxvq_f32(largest4);
  for (; i < count; ++i) {
    const float v = values[i] < 0 ? -values[i] : values[i];
    largest = v > largest ? v : largest;
  }
  return largest;
}

/// Rounds half to even; saturates.
int32_t nearest(float value) {
  return vcvtns_s32_f32(value);
}

double fold16(double* sums) {
  for (size_t half = 8; half > 0; half /= 2) {
    for (size_t i = 0; i < half; ++i) sums[i] += sums[i + half];
  }
  return sums[0];
}

/// softmax_exp of scalar.cpp, step by step.
float32x4_t exp4(float32x4_t x) {
  const uint32x4_t in_range = vcgeq_f32(x, vdupq_n_f32(-87.0F));
  const float32x4_t n = vrndnq_f32(vmulq_f32(x, vdupq_n_f32(1.44269504F)));
  const float32x4_t r = vaddq_f32(vsubq_f32(x, vmulq_f32(n, vdupq_n_f32(0.693359375F))),
                                  vmulq_f32(n, vdupq_n_f32(2.12194440e-4F)));
  float32x4_t p = vdupq_n_f32(1.0F / 720.0F);
  constexpr float kTerms[] = {1.0F / 120.0F, 1.0F / 24.0F, 1.0F / 6.0F, 0.5F, 1.0F, 1.0F};
  for (const float term : kTerms) p = vaddq_f32(vmulq_f32(p, r), vdupq_n_f32(term));
  const int32x4_t power = vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127)), 23);
  const float32x4_t e = vmulq_f32(p, vreinterpretq_f32_s32(power));
  return vreinterpretq_f32_u32(vandq_u32(in_range, vreinterpretq_u32_f32(e)));
}

}  // namespace

float quantize_int8(const float* values, size_t count, int8_t* codes) {
  const float scale = 127.0F / absmax(values, count, 1e-5F);
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const int32x4_t low = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(values + i), scale));
    const int32x4_t high = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(values + i + kLanes), scale));
    vst1_s8(codes + i, vqmovn_s16(vqmovn_high_s32(vqmovn_s32(low), high)));  // saturates, which is the clamp
  }
  for (; i < count; ++i) {
    const int32_t code = nearest(values[i] * scale);
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
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    vst1_s16(codes + i, vqmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(values + i), scale))));
  }
  for (; i < count; ++i) {
    const int32_t code = nearest(values[i] * scale);
    codes[i] = static_cast<int16_t>(code > 32767 ? 32767 : code < -32768 ? -32768 : code);
  }
  return largest / 32767.0F;
}

void arrange_tokens(const int8_t* x, size_t column_tiles, size_t batch, int8_t* blocks, int32_t* token_sums) {
  const size_t cols = column_tiles * 32;
  for (size_t b = 0; b < batch; ++b) {
    int32x4_t sums = vdupq_n_s32(0);
    for (size_t c = 0; c < cols; c += 16) sums = vpadalq_s16(sums, vpaddlq_s8(vld1q_s8(x + b * cols + c)));
    token_sums[b] = vaddvq_s32(sums);
  }
  for (size_t first = 0; first < batch; first += kTokenBlock) {
    const size_t tokens = batch - first < kTokenBlock ? batch - first : kTokenBlock;
    int8_t* block = blocks + first * cols;
    for (size_t c = 0; c < cols; c += 4) {
      for (size_t t = 0; t < kTokenBlock; ++t) {
        int32_t word = 0;
        if (t < tokens) __builtin_memcpy(&word, x + (first + t) * cols + c, 4);
        __builtin_memcpy(block + c * kTokenBlock + t * 4, &word, 4);
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
  float64x2_t sums[8];
  for (float64x2_t& sum : sums) sum = vdupq_n_f64(0.0);
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    for (size_t k = 0; k < 8; ++k) {
      const float64x2_t v = vcvt_f64_f32(vld1_f32(x + i + 2 * k));
      sums[k] = vaddq_f64(sums[k], vmulq_f64(v, v));
    }
  }
  double partial[16];
  for (size_t k = 0; k < 8; ++k) vst1q_f64(partial + 2 * k, sums[k]);
  for (; i < count; ++i) partial[i % 16] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  const auto mean = static_cast<float>(fold16(partial) / static_cast<double>(count));
  const float inverse = 1.0F / __builtin_sqrtf(mean + eps);
  for (i = 0; i < count; ++i) y[i] = x[i] * inverse * gain[i];
}

void softmax(float* scores, size_t count, float scale) {
  constexpr size_t kBlock = 16;
  float largest = -__builtin_inff();
  for (size_t i = 0; i < count; ++i) {
    scores[i] *= scale;
    largest = scores[i] > largest ? scores[i] : largest;
  }
  const float32x4_t largest4 = vdupq_n_f32(largest);
  double partial[kBlock] = {};
  size_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    for (size_t k = 0; k < kBlock; k += kLanes) {
      const float32x4_t e = exp4(vsubq_f32(vld1q_f32(scores + i + k), largest4));
      vst1q_f32(scores + i + k, e);
      vst1q_f64(partial + k, vaddq_f64(vld1q_f64(partial + k), vcvt_f64_f32(vget_low_f32(e))));
      vst1q_f64(partial + k + 2, vaddq_f64(vld1q_f64(partial + k + 2), vcvt_high_f64_f32(e)));
    }
  }
  for (; i < count; ++i) {
    scores[i] = vgetq_lane_f32(exp4(vdupq_n_f32(scores[i] - largest)), 0);
    partial[i % kBlock] += static_cast<double>(scores[i]);
  }
  const auto inverse = static_cast<float>(1.0 / fold16(partial));
  for (i = 0; i < count; ++i) scores[i] *= inverse;
}

void gate_relu2(const float* gate, const float* up, size_t count, float* y) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const float32x4_t g = vmaxq_f32(vld1q_f32(gate + i), vdupq_n_f32(0.0F));
    vst1q_f32(y + i, vmulq_f32(vmulq_f32(g, g), vld1q_f32(up + i)));
  }
  for (; i < count; ++i) {
    const float g = gate[i] > 0.0F ? gate[i] : 0.0F;
    y[i] = g * g * up[i];
  }
}

uint64_t sum_words(const uint64_t* words, size_t count) {
  uint64x2_t sums[4] = {vdupq_n_u64(0), vdupq_n_u64(0), vdupq_n_u64(0), vdupq_n_u64(0)};
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (size_t k = 0; k < 4; ++k) sums[k] = vaddq_u64(sums[k], vld1q_u64(words + i + 2 * k));
  }
  uint64_t sum = vaddvq_u64(vaddq_u64(vaddq_u64(sums[0], sums[1]), vaddq_u64(sums[2], sums[3])));
  for (; i < count; ++i) sum += words[i];
  return sum;
}

void from_f16(const uint16_t* halves, size_t count, float* values) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    vst1q_f32(values + i, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(halves + i))));
  }
  for (; i < count; ++i) {
    values[i] = vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(halves[i]))), 0);
  }
}

void to_f16(const float* values, size_t count, uint16_t* halves) {
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    vst1_u16(halves + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(values + i))));
  }
  for (; i < count; ++i) {
    const float16x4_t half = vcvt_f16_f32(vdupq_n_f32(values[i]));
    halves[i] = vget_lane_u16(vreinterpret_u16_f16(half), 0);
  }
}

}  // namespace rotor::kernels::neon
