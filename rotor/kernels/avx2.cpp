// Kernels for AVX2 on planes and int8; those on floats are avx2_dense.cpp. This file is compiled with -mavx2
// -mf16c, so it calls no inline function or template of a shared header: the linker could keep this file's
// copy of it for the whole program. A test checks that the object defines no weak function.
//
// Matrix products join the two planes in registers into 2-bit fields that hold value + 1 (0, 1 or 2),
// multiply-add them as unsigned bytes by signed activations, and subtract the sum of the activations once per
// vector.
#include <immintrin.h>

#include "rotor/kernels/avx2_dense.h"
#include "rotor/kernels/kernel_set.h"

namespace rotor::kernels {
namespace {

constexpr size_t kWord = 32;        // columns of a plane word, and of a tile
constexpr size_t kTileBytes = 128;  // 16 words of plus, 16 of minus
constexpr size_t kRows = 16;
// Products of a tile: 8 multiply-adds of two products of at most 2 * 128 each. 7 tiles stay below 32768 in 16
// bits.
constexpr size_t kTilesPer16Bits = 7;

bool supported() {
  return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("f16c") != 0;
}

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

float quantize_int8(const float* values, size_t count, int8_t* codes) {
  const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF));
  __m256 largest8 = _mm256_set1_ps(1e-5F);
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    largest8 = _mm256_max_ps(_mm256_and_ps(_mm256_loadu_ps(values + i), magnitude), largest8);
  }
  float lanes[8];
  _mm256_storeu_ps(lanes, largest8);
  float largest = lanes[0];
  for (int lane = 1; lane < 8; ++lane) largest = lanes[lane] > largest ? lanes[lane] : largest;
  for (; i < count; ++i) {
    const float v = values[i] < 0 ? -values[i] : values[i];
    largest = v > largest ? v : largest;
  }
  const float scale = 127.0F / largest;
  const __m256 scale8 = _mm256_set1_ps(scale);
  // Packing saturates to -128..127, which is the clamp.
  for (i = 0; i + 32 <= count; i += 32) {
    __m256i v[4];
    for (size_t k = 0; k < 4; ++k) {
      v[k] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(values + i + 8 * k), scale8));
    }
    const __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3]));
    store(codes + i, interleave_lanes(packed));
  }
  for (; i < count; ++i) {
    const int code = _mm_cvtss_si32(_mm_set_ss(values[i] * scale));
    codes[i] = static_cast<int8_t>(code > 127 ? 127 : code < -128 ? -128 : code);
  }
  return scale;
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

int32_t sum_of_bytes(const int8_t* x, size_t words) {
  __m256i sums = _mm256_setzero_si256();
  for (size_t i = 0; i < words; ++i) sums = _mm256_add_epi32(sums, add_bytes_in_dwords(load(x + i * kWord)));
  return sum_of_lanes(sums);
}

/// Four columns of x (group b: columns 4b..4b+3) in every dword.
__m256i broadcast4(const int8_t* x) {
  int32_t word;
  __builtin_memcpy(&word, x, 4);
  return _mm256_set1_epi32(word);
}

/// value + 1 of 8 rows and 32 columns in 2-bit fields: `even` holds bits 0 2 4 6 of each byte's columns,
/// `odd` 1 3 5 7.
struct Fields {
  __m256i even;
  __m256i odd;
};

Fields join_planes(const uint8_t* plus, const uint8_t* minus) {
  const __m256i alternate = _mm256_set1_epi8(0x55);
  const __m256i p = load(plus);
  const __m256i m = load(minus);
  return {_mm256_add_epi8(_mm256_and_si256(p, alternate), _mm256_andnot_si256(m, alternate)),
          _mm256_add_epi8(_mm256_and_si256(_mm256_srli_epi16(p, 1), alternate),
                          _mm256_andnot_si256(_mm256_srli_epi16(m, 1), alternate))};
}

/// Column group b (columns 4b..4b+3) of the fields, one byte a column.
template <int kGroup>
__m256i field_bytes(const Fields& fields) {
  const __m256i pairs = kGroup % 2 == 0 ? fields.even : fields.odd;
  return _mm256_and_si256(_mm256_srli_epi16(pairs, kGroup / 2 * 2), _mm256_set1_epi8(3));
}

/// Adds the products of 8 rows of a tile with 32 columns of x to 16-bit sums.
__m256i add_tile_products(__m256i sums, const Fields& fields, const int8_t* x) {
  sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(field_bytes<0>(fields), broadcast4(x)));
  sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(field_bytes<1>(fields), broadcast4(x + 4)));
  sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(field_bytes<2>(fields), broadcast4(x + 8)));
  sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(field_bytes<3>(fields), broadcast4(x + 12)));
  sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(field_bytes<4>(fields), broadcast4(x + 16)));
  sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(field_bytes<5>(fields), broadcast4(x + 20)));
  sums = _mm256_add_epi16(sums, _mm256_maddubs_epi16(field_bytes<6>(fields), broadcast4(x + 24)));
  return _mm256_add_epi16(sums, _mm256_maddubs_epi16(field_bytes<7>(fields), broadcast4(x + 28)));
}

__m256i widen(__m256i sums16) {
  return _mm256_madd_epi16(sums16, _mm256_set1_epi16(1));
}

void matvec_int8(const uint8_t* tiles, size_t row_tiles, size_t column_tiles, const int8_t* x,
                 int32_t* sums) {
  const __m256i offset = _mm256_set1_epi32(sum_of_bytes(x, column_tiles));
  for (size_t rt = 0; rt < row_tiles; ++rt) {
    __m256i low = _mm256_setzero_si256();   // rows 0-7
    __m256i high = _mm256_setzero_si256();  // rows 8-15
    for (size_t first = 0; first < column_tiles; first += kTilesPer16Bits) {
      const size_t end = first + kTilesPer16Bits < column_tiles ? first + kTilesPer16Bits : column_tiles;
      __m256i low16 = _mm256_setzero_si256();
      __m256i high16 = _mm256_setzero_si256();
      for (size_t ct = first; ct < end; ++ct) {
        const uint8_t* tile = tiles + (rt * column_tiles + ct) * kTileBytes;
        low16 = add_tile_products(low16, join_planes(tile, tile + 64), x + ct * kWord);
        high16 = add_tile_products(high16, join_planes(tile + 32, tile + 96), x + ct * kWord);
      }
      low = _mm256_add_epi32(low, widen(low16));
      high = _mm256_add_epi32(high, widen(high16));
    }
    store(sums + rt * kRows, _mm256_sub_epi32(low, offset));
    store(sums + rt * kRows + 8, _mm256_sub_epi32(high, offset));
  }
}

/// Tiles of a row of tiles, unpacked to one byte a weight: [tile][column group][half] of 32 bytes, for reuse
/// over tokens.
constexpr size_t kBlockTiles = 2 * kTilesPer16Bits;
struct UnpackedBlock {
  alignas(32) uint8_t bytes[kBlockTiles][8][2][32];
};

void unpack_tile(const uint8_t* tile, uint8_t (*out)[2][32]) {
  for (size_t half = 0; half < 2; ++half) {
    const Fields fields = join_planes(tile + 32 * half, tile + 64 + 32 * half);
    store(out[0][half], field_bytes<0>(fields));
    store(out[1][half], field_bytes<1>(fields));
    store(out[2][half], field_bytes<2>(fields));
    store(out[3][half], field_bytes<3>(fields));
    store(out[4][half], field_bytes<4>(fields));
    store(out[5][half], field_bytes<5>(fields));
    store(out[6][half], field_bytes<6>(fields));
    store(out[7][half], field_bytes<7>(fields));
  }
}

/// Adds a block's products with kTokens vectors to their sums. x: first column of the block; x_stride between
/// tokens.
template <int kTokens>
void add_block(const UnpackedBlock& block, size_t tile_count, const int8_t* x, size_t x_stride, int32_t* sums,
               size_t sums_stride) {
  __m256i total[kTokens][2];
  for (int t = 0; t < kTokens; ++t) {
    total[t][0] = load(sums + t * sums_stride);
    total[t][1] = load(sums + t * sums_stride + 8);
  }
  for (size_t first = 0; first < tile_count; first += kTilesPer16Bits) {
    const size_t end = first + kTilesPer16Bits < tile_count ? first + kTilesPer16Bits : tile_count;
    __m256i part[kTokens][2];
    for (int t = 0; t < kTokens; ++t) part[t][0] = part[t][1] = _mm256_setzero_si256();
    for (size_t tile = first; tile < end; ++tile) {
      for (size_t group = 0; group < 8; ++group) {
        const __m256i low = load(block.bytes[tile][group][0]);
        const __m256i high = load(block.bytes[tile][group][1]);
        for (int t = 0; t < kTokens; ++t) {
          const __m256i v = broadcast4(x + t * x_stride + tile * kWord + group * 4);
          part[t][0] = _mm256_add_epi16(part[t][0], _mm256_maddubs_epi16(low, v));
          part[t][1] = _mm256_add_epi16(part[t][1], _mm256_maddubs_epi16(high, v));
        }
      }
    }
    for (int t = 0; t < kTokens; ++t) {
      total[t][0] = _mm256_add_epi32(total[t][0], widen(part[t][0]));
      total[t][1] = _mm256_add_epi32(total[t][1], widen(part[t][1]));
    }
  }
  for (int t = 0; t < kTokens; ++t) {
    store(sums + t * sums_stride, total[t][0]);
    store(sums + t * sums_stride + 8, total[t][1]);
  }
}

void matmul_int8(const uint8_t* tiles, size_t row_tiles, size_t column_tiles, const int8_t* x, size_t batch,
                 int32_t* sums) {
  constexpr size_t kTokens = 4;
  const size_t x_stride = column_tiles * kWord;
  const size_t sums_stride = row_tiles * kRows;
  for (size_t b = 0; b < batch; ++b) {
    const __m256i start = _mm256_set1_epi32(-sum_of_bytes(x + b * x_stride, column_tiles));
    for (size_t i = 0; i < sums_stride; i += 8) store(sums + b * sums_stride + i, start);
  }
  UnpackedBlock block;
  for (size_t rt = 0; rt < row_tiles; ++rt) {
    for (size_t first = 0; first < column_tiles; first += kBlockTiles) {
      const size_t count = first + kBlockTiles < column_tiles ? kBlockTiles : column_tiles - first;
      for (size_t i = 0; i < count; ++i) {
        unpack_tile(tiles + (rt * column_tiles + first + i) * kTileBytes, block.bytes[i]);
      }
      const int8_t* block_x = x + first * kWord;
      int32_t* block_sums = sums + rt * kRows;
      size_t b = 0;
      for (; b + kTokens <= batch; b += kTokens) {
        add_block<kTokens>(block, count, block_x + b * x_stride, x_stride, block_sums + b * sums_stride,
                           sums_stride);
      }
      for (; b < batch; ++b) {
        add_block<1>(block, count, block_x + b * x_stride, x_stride, block_sums + b * sums_stride,
                     sums_stride);
      }
    }
  }
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

}  // namespace

extern const KernelSet kAvx2 = {
    .name = "avx2",
    .supported = supported,
    .quantize_int8 = quantize_int8,
    .ternarize = ternarize,
    .encode_trits = encode_trits,
    .decode_trits = decode_trits,
    .dot_ternary = dot_ternary,
    .dot_int8 = dot_int8,
    .matvec_int8 = matvec_int8,
    .matmul_int8 = matmul_int8,
    .matvec_ternary = matvec_ternary,
    .matvec_float = avx2::matvec_float,
    .matvec_f16 = avx2::matvec_f16,
    .matvec_q8 = avx2::matvec_q8,
    .weighted_sum_float = avx2::weighted_sum_float,
    .weighted_sum_f16 = avx2::weighted_sum_f16,
    .weighted_sum_q8 = avx2::weighted_sum_q8,
};

}  // namespace rotor::kernels
