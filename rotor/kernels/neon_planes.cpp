// NEON: planes of vectors, and products of planes.
#include <arm_neon.h>

#include "rotor/kernels/neon.h"

namespace rotor::kernels::neon {
namespace {

constexpr size_t kWord = 32;        // columns of a plane word, and of a tile
constexpr size_t kTileBytes = 128;  // 16 words of plus, 16 of minus
constexpr size_t kRows = 16;

/// The bits of a plane word that belong to 16 bytes of column order: column 4*b + j is bit b of byte j.
uint8x16_t bits_of_half(size_t half) {
  const uint8x16_t first = {1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 4, 4, 8, 8, 8, 8};
  return half == 0 ? first : vshlq_n_u8(first, 4);
}

/// 16 bytes in column order, 0xFF where the word has a 1.
uint8x16_t plane_mask(uint32_t word, size_t half) {
  return vtstq_u8(vreinterpretq_u8_u32(vdupq_n_u32(word)), bits_of_half(half));
}

/// The plane word of 32 bytes in column order that are 0xFF or 0.
uint32_t plane_word(uint8x16_t low, uint8x16_t high) {
  const uint8x16_t bits =
      vorrq_u8(vandq_u8(low, bits_of_half(0)), vandq_u8(high, bits_of_half(1)));  // [b][j]
  const uint32x4_t words = vreinterpretq_u32_u8(bits);
  const uint32x2_t pairs = vorr_u32(vget_low_u32(words), vget_high_u32(words));
  return vget_lane_u32(pairs, 0) | vget_lane_u32(pairs, 1);
}

/// 16 comparisons of floats as bytes.
template <class Compare>
uint8x16_t compare16(const float* values, Compare compare) {
  const uint16x8_t low =
      vcombine_u16(vmovn_u32(compare(vld1q_f32(values))), vmovn_u32(compare(vld1q_f32(values + 4))));
  const uint16x8_t high =
      vcombine_u16(vmovn_u32(compare(vld1q_f32(values + 8))), vmovn_u32(compare(vld1q_f32(values + 12))));
  return vcombine_u8(vmovn_u16(low), vmovn_u16(high));
}

void ternarize_word(const float* values, float threshold, uint32_t* plus, uint32_t* minus) {
  const auto above = [=](float32x4_t v) { return vcgtq_f32(v, vdupq_n_f32(threshold)); };
  const auto below = [=](float32x4_t v) { return vcltq_f32(v, vdupq_n_f32(-threshold)); };
  *plus = plane_word(compare16(values, above), compare16(values + 16, above));
  *minus = plane_word(compare16(values, below), compare16(values + 16, below));
}

/// Number of positive products minus number of negative ones, byte by byte.
int8x16_t count_products(uint8x16_t a_plus, uint8x16_t a_minus, uint8x16_t b_plus, uint8x16_t b_minus) {
  const uint8x16_t same = vorrq_u8(vandq_u8(a_plus, b_plus), vandq_u8(a_minus, b_minus));
  const uint8x16_t other = vorrq_u8(vandq_u8(a_plus, b_minus), vandq_u8(a_minus, b_plus));
  return vreinterpretq_s8_u8(vsubq_u8(vcntq_u8(same), vcntq_u8(other)));
}

uint8x16_t load_words(const uint32_t* words) {
  return vreinterpretq_u8_u32(vld1q_u32(words));
}

}  // namespace

void ternarize(const float* values, size_t count, float threshold, uint32_t* plus, uint32_t* minus) {
  size_t word = 0;
  for (; (word + 1) * kWord <= count; ++word) {
    ternarize_word(values + word * kWord, threshold, plus + word, minus + word);
  }
  if (word * kWord < count) {
    float last[kWord] = {};  // 0 is never past a threshold of at least 0
    for (size_t i = word * kWord; i < count; ++i) last[i - word * kWord] = values[i];
    ternarize_word(last, threshold, plus + word, minus + word);
  }
}

bool encode_trits(const int8_t* values, size_t count, uint32_t* plus, uint32_t* minus) {
  uint8x16_t bad = vdupq_n_u8(0);
  const auto encode_word = [&](const int8_t* v, size_t word) {
    const int8x16_t half[2] = {vld1q_s8(v), vld1q_s8(v + 16)};
    for (const int8x16_t bytes : half) {  // ternary if value + 1 is at most 2 as an unsigned number
      const uint8x16_t shifted = vreinterpretq_u8_s8(vaddq_s8(bytes, vdupq_n_s8(1)));
      bad = vorrq_u8(bad, vcgtq_u8(shifted, vdupq_n_u8(2)));
    }
    plus[word] = plane_word(vcgtzq_s8(half[0]), vcgtzq_s8(half[1]));
    minus[word] = plane_word(vcltzq_s8(half[0]), vcltzq_s8(half[1]));
  };
  size_t word = 0;
  for (; (word + 1) * kWord <= count; ++word) encode_word(values + word * kWord, word);
  if (word * kWord < count) {
    int8_t last[kWord] = {};
    for (size_t i = word * kWord; i < count; ++i) last[i - word * kWord] = values[i];
    encode_word(last, word);
  }
  return vmaxvq_u8(bad) == 0;
}

void decode_trits(const uint32_t* plus, const uint32_t* minus, size_t count, int8_t* values) {
  const auto decode_word = [&](size_t word, int8_t* out) {  // masks are -1 where set
    for (size_t half = 0; half < 2; ++half) {
      const int8x16_t p = vreinterpretq_s8_u8(plane_mask(plus[word], half));
      const int8x16_t m = vreinterpretq_s8_u8(plane_mask(minus[word], half));
      vst1q_s8(out + 16 * half, vsubq_s8(m, p));
    }
  };
  size_t word = 0;
  for (; (word + 1) * kWord <= count; ++word) decode_word(word, values + word * kWord);
  if (word * kWord < count) {
    int8_t last[kWord];
    decode_word(word, last);
    for (size_t i = word * kWord; i < count; ++i) values[i] = last[i - word * kWord];
  }
}

int64_t dot_ternary(const uint32_t* a_plus, const uint32_t* a_minus, const uint32_t* b_plus,
                    const uint32_t* b_minus, size_t words) {
  int64_t sum = 0;
  size_t i = 0;
  for (; i + 4 <= words; i += 4) {
    sum += vaddlvq_s8(count_products(load_words(a_plus + i), load_words(a_minus + i), load_words(b_plus + i),
                                     load_words(b_minus + i)));
  }
  for (; i < words; ++i) {
    sum += __builtin_popcount((a_plus[i] & b_plus[i]) | (a_minus[i] & b_minus[i]));
    sum -= __builtin_popcount((a_plus[i] & b_minus[i]) | (a_minus[i] & b_plus[i]));
  }
  return sum;
}

int64_t dot_int8(const uint32_t* plus, const uint32_t* minus, const int8_t* values, size_t words) {
  int64_t sum = 0;
  for (size_t i = 0; i < words; ++i) {
    for (size_t half = 0; half < 2; ++half) {
      const int8x16_t v = vld1q_s8(values + i * kWord + 16 * half);
      const int8x16_t p = vandq_s8(v, vreinterpretq_s8_u8(plane_mask(plus[i], half)));
      const int8x16_t m = vandq_s8(v, vreinterpretq_s8_u8(plane_mask(minus[i], half)));
      sum += vaddlvq_s8(p) - vaddlvq_s8(m);
    }
  }
  return sum;
}

void matvec_ternary(const uint8_t* tiles, size_t row_tiles, size_t column_tiles, const uint32_t* x_plus,
                    const uint32_t* x_minus, int32_t* sums) {
  for (size_t rt = 0; rt < row_tiles; ++rt) {
    for (size_t quad = 0; quad < 4; ++quad) {
      int32x4_t total = vdupq_n_s32(0);
      for (size_t ct = 0; ct < column_tiles; ++ct) {
        const uint8_t* tile = tiles + (rt * column_tiles + ct) * kTileBytes + 16 * quad;
        const int8x16_t bytes =
            count_products(vld1q_u8(tile), vld1q_u8(tile + 64), vreinterpretq_u8_u32(vdupq_n_u32(x_plus[ct])),
                           vreinterpretq_u8_u32(vdupq_n_u32(x_minus[ct])));
        total = vpadalq_s16(total, vpaddlq_s8(bytes));
      }
      vst1q_s32(sums + rt * kRows + 4 * quad, total);
    }
  }
}

}  // namespace rotor::kernels::neon
