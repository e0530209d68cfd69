// AVX2: planes of vectors, and products of planes.
#include <immintrin.h>

#include "rotor/kernels/avx2.h"

namespace rotor::kernels::avx2 {
namespace {

constexpr size_t kWord = 32;        // columns of a plane word, and of a tile
constexpr size_t kTileBytes = 128;  // 16 words of plus, 16 of minus
constexpr size_t kRows = 16;

__m256i load(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
void store(void* p, __m256i v) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), v);
}

int32_t sum_of_lanes(__m256i v) {
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4E));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xB1));
  return _mm_cvtsi128_si32(s);
}

/// Dwords 0 4 1 5 2 6 3 7: from one group of four bytes a lane to alternating lanes.
__m256i interleave_lanes(__m256i v) {
  return _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/// The plane word of 32 bytes in column order, from their top bits: byte 4*b + j gives bit 8*j + b.
uint32_t plane_word(__m256i bytes) {
  const __m256i transpose = _mm256_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15,  //
                                             0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return static_cast<uint32_t>(_mm256_movemask_epi8(interleave_lanes(_mm256_shuffle_epi8(bytes, transpose))));
}

/// 32 bytes in column order, 0xFF where the word has a 1.
__m256i plane_mask(uint32_t word) {
  // Byte 4*b + j of the broadcast word is its byte j; bit b of that byte is column 4*b + j.
  const __m256i bits = _mm256_setr_epi32(0x01010101, 0x02020202, 0x04040404, 0x08080808, 0x10101010,
                                         0x20202020, 0x40404040, static_cast<int>(0x80808080U));
  return _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_set1_epi32(static_cast<int>(word)), bits), bits);
}

/// Planes of 32 floats.
void ternarize_word(const float* values, float threshold, uint32_t* plus, uint32_t* minus) {
  const __m256 high = _mm256_set1_ps(threshold);
  const __m256 low = _mm256_set1_ps(-threshold);
  __m256i p[4];
  __m256i m[4];
  for (size_t k = 0; k < 4; ++k) {
    const __m256 v = _mm256_loadu_ps(values + 8 * k);
    p[k] = _mm256_castps_si256(_mm256_cmp_ps(v, high, _CMP_GT_OQ));
    m[k] = _mm256_castps_si256(_mm256_cmp_ps(v, low, _CMP_LT_OQ));
  }
  *plus = plane_word(
      interleave_lanes(_mm256_packs_epi16(_mm256_packs_epi32(p[0], p[1]), _mm256_packs_epi32(p[2], p[3]))));
  *minus = plane_word(
      interleave_lanes(_mm256_packs_epi16(_mm256_packs_epi32(m[0], m[1]), _mm256_packs_epi32(m[2], m[3]))));
}

/// Number of ones in each byte.
__m256i count_bits(__m256i v) {
  const __m256i counts = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                          0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i low = _mm256_set1_epi8(15);
  return _mm256_add_epi8(_mm256_shuffle_epi8(counts, _mm256_and_si256(v, low)),
                         _mm256_shuffle_epi8(counts, _mm256_and_si256(_mm256_srli_epi16(v, 4), low)));
}

/// Each byte: number of positive products minus number of negative ones, -8..8.
__m256i count_products(__m256i a_plus, __m256i a_minus, __m256i b_plus, __m256i b_minus) {
  const __m256i same = _mm256_or_si256(_mm256_and_si256(a_plus, b_plus), _mm256_and_si256(a_minus, b_minus));
  const __m256i other = _mm256_or_si256(_mm256_and_si256(a_plus, b_minus), _mm256_and_si256(a_minus, b_plus));
  return _mm256_sub_epi8(count_bits(same), count_bits(other));
}

/// Signed bytes added up in groups of four.
__m256i add_bytes_in_dwords(__m256i v) {
  return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), v), _mm256_set1_epi16(1));
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
  const __m256i one = _mm256_set1_epi8(1);
  __m256i bad = _mm256_setzero_si256();
  const auto encode_word = [&](const int8_t* v, size_t word) {
    const __m256i bytes = load(v);
    // A byte is ternary if value + 1 is at most 2 as an unsigned number.
    const __m256i shifted = _mm256_add_epi8(bytes, one);
    bad = _mm256_or_si256(bad, _mm256_subs_epu8(shifted, _mm256_set1_epi8(2)));
    plus[word] = plane_word(_mm256_cmpgt_epi8(bytes, _mm256_setzero_si256()));
    minus[word] = plane_word(bytes);  // the sign bit
  };
  size_t word = 0;
  for (; (word + 1) * kWord <= count; ++word) encode_word(values + word * kWord, word);
  if (word * kWord < count) {
    int8_t last[kWord] = {};
    for (size_t i = word * kWord; i < count; ++i) last[i - word * kWord] = values[i];
    encode_word(last, word);
  }
  return _mm256_testz_si256(bad, bad) != 0;
}

void decode_trits(const uint32_t* plus, const uint32_t* minus, size_t count, int8_t* values) {
  const auto decode_word = [&](size_t word) {  // masks are -1 where set: minus mask - plus mask = value
    return _mm256_sub_epi8(plane_mask(minus[word]), plane_mask(plus[word]));
  };
  size_t word = 0;
  for (; (word + 1) * kWord <= count; ++word) {
    store(values + word * kWord, decode_word(word));
  }
  if (word * kWord < count) {
    int8_t last[kWord];
    store(last, decode_word(word));
    for (size_t i = word * kWord; i < count; ++i) values[i] = last[i - word * kWord];
  }
}

int64_t dot_ternary(const uint32_t* a_plus, const uint32_t* a_minus, const uint32_t* b_plus,
                    const uint32_t* b_minus, size_t words) {
  constexpr size_t kBlock = 15;  // 15 * 8 fits a signed byte
  int64_t sum = 0;
  size_t i = 0;
  __m256i sums = _mm256_setzero_si256();
  size_t blocks = 0;
  while (i + 8 <= words) {
    __m256i bytes = _mm256_setzero_si256();
    for (size_t k = 0; k < kBlock && i + 8 <= words; ++k, i += 8) {
      bytes = _mm256_add_epi8(
          bytes, count_products(load(a_plus + i), load(a_minus + i), load(b_plus + i), load(b_minus + i)));
    }
    sums = _mm256_add_epi32(sums, add_bytes_in_dwords(bytes));
    if (++blocks ==
        (size_t{1} << 16)) {  // a dword grows by at most 480 a block; sum_of_lanes adds eight of them
      sum += sum_of_lanes(sums);
      sums = _mm256_setzero_si256();
      blocks = 0;
    }
  }
  sum += sum_of_lanes(sums);
  for (; i < words; ++i) {
    sum += __builtin_popcount((a_plus[i] & b_plus[i]) | (a_minus[i] & b_minus[i]));
    sum -= __builtin_popcount((a_plus[i] & b_minus[i]) | (a_minus[i] & b_plus[i]));
  }
  return sum;
}

int64_t dot_int8(const uint32_t* plus, const uint32_t* minus, const int8_t* values, size_t words) {
  int64_t sum = 0;
  __m256i sums = _mm256_setzero_si256();
  for (size_t i = 0; i < words; ++i) {
    const __m256i v = load(values + i * kWord);
    const __m256i p = _mm256_and_si256(v, plane_mask(plus[i]));
    const __m256i m = _mm256_and_si256(v, plane_mask(minus[i]));
    // Differences are taken after the widening add: -(-128) does not fit a byte.
    sums = _mm256_add_epi32(sums, _mm256_sub_epi32(add_bytes_in_dwords(p), add_bytes_in_dwords(m)));
    if ((i & 0x3FFFF) == 0x3FFFF) {  // a dword grows by at most 512 a word: 2^18 * 512 * 8 lanes = 2^30
      sum += sum_of_lanes(sums);
      sums = _mm256_setzero_si256();
    }
  }
  return sum + sum_of_lanes(sums);
}

void matvec_ternary(const uint8_t* tiles, size_t row_tiles, size_t column_tiles, const uint32_t* x_plus,
                    const uint32_t* x_minus, int32_t* sums) {
  constexpr size_t kBlock = 15;  // 15 * 8 fits a signed byte
  for (size_t rt = 0; rt < row_tiles; ++rt) {
    for (size_t half = 0; half < 2; ++half) {
      __m256i total = _mm256_setzero_si256();
      for (size_t first = 0; first < column_tiles; first += kBlock) {
        const size_t end = first + kBlock < column_tiles ? first + kBlock : column_tiles;
        __m256i bytes = _mm256_setzero_si256();
        for (size_t ct = first; ct < end; ++ct) {
          const uint8_t* tile = tiles + (rt * column_tiles + ct) * kTileBytes + 32 * half;
          bytes = _mm256_add_epi8(bytes, count_products(load(tile), load(tile + 64),
                                                        _mm256_set1_epi32(static_cast<int>(x_plus[ct])),
                                                        _mm256_set1_epi32(static_cast<int>(x_minus[ct]))));
        }
        total = _mm256_add_epi32(total, add_bytes_in_dwords(bytes));
      }
      store(sums + rt * kRows + 8 * half, total);
    }
  }
}

}  // namespace rotor::kernels::avx2
