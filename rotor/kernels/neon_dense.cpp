// NEON: products with dense matrices of float32, binary16 and int8 (token embedding, head, KV cache), in the
// orders that kernel_set.h fixes.
#include <arm_neon.h>

#include "rotor/kernels/neon.h"

namespace rotor::kernels::neon {
namespace {

constexpr size_t kLanes = 4;

float32x4_t load4(const float* p) {
  return vld1q_f32(p);
}
float32x4_t load4(const uint16_t* p) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
float32x4_t load4(const int8_t* p) {
  const int8_t four[8] = {p[0], p[1], p[2], p[3]};
  return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vld1_s8(four)))));
}

float as_float(float value) {
  return value;
}
float as_float(uint16_t half) {
  return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half))), 0);
}
float as_float(int8_t code) {
  return static_cast<float>(code);
}

/// One row after the other, so that memory is read as one stream; 64 partial sums in sixteen registers.
template <class T>
void matvec(const T* matrix, size_t rows, size_t cols, const float* x, float* y) {
  constexpr size_t kPartial = 64;
  const size_t whole = cols / kPartial * kPartial;
  for (size_t r = 0; r < rows; ++r) {
    const T* row = matrix + r * cols;
    float32x4_t sums[kPartial / kLanes];
    for (float32x4_t& sum : sums) sum = vdupq_n_f32(0.0F);
    for (size_t c = 0; c < whole; c += kPartial) {
#pragma GCC unroll 16
      for (size_t k = 0; k < kPartial / kLanes; ++k) {
        const size_t at = c + k * kLanes;
        sums[k] = vfmaq_f32(sums[k], load4(row + at), vld1q_f32(x + at));
      }
    }
    float s[kPartial];
#pragma GCC unroll 16
    for (size_t k = 0; k < kPartial / kLanes; ++k) vst1q_f32(s + k * kLanes, sums[k]);
    size_t c = whole;
    for (; c + kLanes <= cols; c += kLanes) {
      float* at = s + (c - whole);
      vst1q_f32(at, vfmaq_f32(vld1q_f32(at), load4(row + c), vld1q_f32(x + c)));
    }
    for (; c < cols; ++c) s[c - whole] = __builtin_fmaf(as_float(row[c]), x[c], s[c - whole]);
    for (size_t half = kPartial / 2; half > 0; half /= 2) {
      for (size_t i = 0; i < half; ++i) s[i] += s[i + half];
    }
    y[r] = s[0];
  }
}

/// A lane's sum of 32 bits holds 512 products; longer rows are added up in parts.
int64_t dot_q8(const int8_t* codes, const int16_t* x, size_t cols) {
  constexpr size_t kPart = size_t{1} << 12;
  int64_t sum = 0;
  size_t c = 0;
  while (c + 16 <= cols) {
    const size_t end = cols - c > kPart ? c + kPart : cols;
    int32x4_t sums[4];
    for (int32x4_t& s : sums) s = vdupq_n_s32(0);
    for (; c + 16 <= end; c += 16) {
      const int8x16_t bytes = vld1q_s8(codes + c);
      const int16x8_t low = vmovl_s8(vget_low_s8(bytes));
      const int16x8_t high = vmovl_high_s8(bytes);
      const int16x8_t x_low = vld1q_s16(x + c);
      const int16x8_t x_high = vld1q_s16(x + c + 8);
      sums[0] = vmlal_s16(sums[0], vget_low_s16(low), vget_low_s16(x_low));
      sums[1] = vmlal_high_s16(sums[1], low, x_low);
      sums[2] = vmlal_s16(sums[2], vget_low_s16(high), vget_low_s16(x_high));
      sums[3] = vmlal_high_s16(sums[3], high, x_high);
    }
    for (const int32x4_t s : sums) sum += vaddlvq_s32(s);
  }
  for (; c < cols; ++c) sum += int64_t{codes[c]} * x[c];
  return sum;
}

/// `scale(r)` is the factor of row r. Columns in strips of eight registers, so that y stays in registers.
template <class T, class Scale>
void weighted_sum(const T* matrix, size_t rows, size_t cols, bool add, float* y, Scale scale) {
  constexpr size_t kRegisters = 8;
  constexpr size_t kStrip = kRegisters * kLanes;
  size_t c = 0;
  for (; c + kStrip <= cols; c += kStrip) {
    float32x4_t sums[kRegisters];
#pragma GCC unroll 8
    for (size_t k = 0; k < kRegisters; ++k) {
      sums[k] = add ? vld1q_f32(y + c + k * kLanes) : vdupq_n_f32(0.0F);
    }
    for (size_t r = 0; r < rows; ++r) {
      const float32x4_t factor = vdupq_n_f32(scale(r));
      const T* row = matrix + r * cols + c;
#pragma GCC unroll 8
      for (size_t k = 0; k < kRegisters; ++k) {
        sums[k] = vfmaq_f32(sums[k], factor, load4(row + k * kLanes));
      }
    }
#pragma GCC unroll 8
    for (size_t k = 0; k < kRegisters; ++k) vst1q_f32(y + c + k * kLanes, sums[k]);
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
  for (size_t i = 0; i < rows; ++i) {
    const size_t r = ids == nullptr ? i : static_cast<size_t>(ids[i]);
    y[i] = static_cast<float>(dot_q8(codes + r * cols, x, cols)) * (row_scales[r] * x_scale);
  }
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

}  // namespace rotor::kernels::neon
