// Products of tiles with int8 vectors in 256-bit registers, compiled twice: for AVX2 alone (namespace avx2)
// and with the dot products of AVX-VNNI (namespace avxvnni).
//
// The two planes are joined in registers into 2-bit fields that hold value + 1 (0, 1 or 2), these are
// multiplied as unsigned bytes by signed activations, and the sum of the activations is subtracted once per
// vector. Fields are not shifted to the bottom of their byte where that can be saved: a field at bit 2k
// counts 4^k times, which is divided away at the end.
#include <immintrin.h>

#include "rotor/kernels/avx2.h"
#include "rotor/kernels/kernel_set.h"
#include "rotor/kernels/tile_products.h"
#include "rotor/kernels/x86_prefetch.h"

namespace rotor::kernels::ROTOR_KERNEL_SET {
namespace {

constexpr size_t kWord = 32;        // columns of a plane word, and of a tile
constexpr size_t kTileBytes = 128;  // 16 words of plus, 16 of minus
constexpr size_t kRows = 16;
constexpr size_t kStep = 4 * kTokenBlock;  // bytes of four columns in arranged tokens

__m256i load(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
void store(void* p, __m256i v) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), v);
}

/// Four columns of x in every dword.
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

#ifdef __AVXVNNI__

constexpr size_t kTilesOfPart = ~size_t{0};  // 32-bit sums need no rest

/// Sums of 8 rows by the place of the fields.
struct RowSums {
  __m256i place[4];
};

RowSums no_sums() {
  const __m256i zero = _mm256_setzero_si256();
  return {{zero, zero, zero, zero}};
}

template <int kPlace>
void add_place(RowSums& sums, const Fields& fields, __m256i x_even, __m256i x_odd) {
  const __m256i mask = _mm256_set1_epi8(static_cast<char>(3 << (2 * kPlace)));
  sums.place[kPlace] =
      _mm256_dpbusd_avx_epi32(sums.place[kPlace], _mm256_and_si256(fields.even, mask), x_even);
  sums.place[kPlace] = _mm256_dpbusd_avx_epi32(sums.place[kPlace], _mm256_and_si256(fields.odd, mask), x_odd);
}

/// Adds the products of 16 rows of a tile with 32 columns of x.
void add_tile(RowSums& low, RowSums& high, const uint8_t* tile, const int8_t* x) {
  const Fields low_fields = join_planes(tile, tile + 64);
  const Fields high_fields = join_planes(tile + 32, tile + 96);
  __m256i even = broadcast4(x);
  __m256i odd = broadcast4(x + 4);
  add_place<0>(low, low_fields, even, odd);
  add_place<0>(high, high_fields, even, odd);
  even = broadcast4(x + 8);
  odd = broadcast4(x + 12);
  add_place<1>(low, low_fields, even, odd);
  add_place<1>(high, high_fields, even, odd);
  even = broadcast4(x + 16);
  odd = broadcast4(x + 20);
  add_place<2>(low, low_fields, even, odd);
  add_place<2>(high, high_fields, even, odd);
  even = broadcast4(x + 24);
  odd = broadcast4(x + 28);
  add_place<3>(low, low_fields, even, odd);
  add_place<3>(high, high_fields, even, odd);
}

/// The sums of 8 rows.
__m256i total(const RowSums& sums) {
  return _mm256_add_epi32(
      _mm256_add_epi32(sums.place[0], _mm256_srai_epi32(sums.place[1], 2)),
      _mm256_add_epi32(_mm256_srai_epi32(sums.place[2], 4), _mm256_srai_epi32(sums.place[3], 6)));
}

/// Partial sums of products of unpacked bytes, and how they become 32-bit sums.
__m256i add_products(__m256i sums, __m256i weights, __m256i x) {
  return _mm256_dpbusd_avx_epi32(sums, weights, x);
}
__m256i widened(__m256i sums) {
  return sums;
}

#else

// Sums of products in 16 bits: a field at the bottom of its byte adds at most 2 * 2 * 128 a time, one at bit
// 2 four times that, twice a tile; 7 tiles stay below 32768.
constexpr size_t kTilesOfPart = 7;

/// Sums of 8 rows: of fields at bit 0, and of those at bit 2 of the even and the odd columns.
struct RowSums {
  __m256i ones;
  __m256i fours_even;
  __m256i fours_odd;
};

RowSums no_sums() {
  const __m256i zero = _mm256_setzero_si256();
  return {zero, zero, zero};
}

__m256i add_products(__m256i sums, __m256i weights, __m256i x) {
  return _mm256_add_epi16(sums, _mm256_maddubs_epi16(weights, x));
}
__m256i widened(__m256i sums16) {
  return _mm256_madd_epi16(sums16, _mm256_set1_epi16(1));
}

void add_ones(RowSums& sums, const Fields& fields, __m256i x_even, __m256i x_odd) {
  const __m256i mask = _mm256_set1_epi8(0x03);
  sums.ones = add_products(sums.ones, _mm256_and_si256(fields.even, mask), x_even);
  sums.ones = add_products(sums.ones, _mm256_and_si256(fields.odd, mask), x_odd);
}
void add_fours(RowSums& sums, const Fields& fields, __m256i x_even, __m256i x_odd) {
  const __m256i mask = _mm256_set1_epi8(0x0C);
  sums.fours_even = add_products(sums.fours_even, _mm256_and_si256(fields.even, mask), x_even);
  sums.fours_odd = add_products(sums.fours_odd, _mm256_and_si256(fields.odd, mask), x_odd);
}

Fields shifted(const Fields& fields) {
  return {_mm256_srli_epi16(fields.even, 4), _mm256_srli_epi16(fields.odd, 4)};
}

/// Adds the products of 16 rows of a tile with 32 columns of x.
void add_tile(RowSums& low, RowSums& high, const uint8_t* tile, const int8_t* x) {
  Fields low_fields = join_planes(tile, tile + 64);
  Fields high_fields = join_planes(tile + 32, tile + 96);
  __m256i even = broadcast4(x);
  __m256i odd = broadcast4(x + 4);
  add_ones(low, low_fields, even, odd);
  add_ones(high, high_fields, even, odd);
  even = broadcast4(x + 8);
  odd = broadcast4(x + 12);
  add_fours(low, low_fields, even, odd);
  add_fours(high, high_fields, even, odd);
  low_fields = shifted(low_fields);
  high_fields = shifted(high_fields);
  even = broadcast4(x + 16);
  odd = broadcast4(x + 20);
  add_ones(low, low_fields, even, odd);
  add_ones(high, high_fields, even, odd);
  even = broadcast4(x + 24);
  odd = broadcast4(x + 28);
  add_fours(low, low_fields, even, odd);
  add_fours(high, high_fields, even, odd);
}

/// The sums of 8 rows; those of fields at bit 2 are multiples of 4.
__m256i total(const RowSums& sums) {
  const __m256i fours = _mm256_add_epi32(widened(sums.fours_even), widened(sums.fours_odd));
  return _mm256_add_epi32(widened(sums.ones), _mm256_srai_epi32(fours, 2));
}

#endif

/// Column group b (columns 4b..4b+3) of the fields, one byte a column.
template <int kGroup>
__m256i field_bytes(const Fields& fields) {
  const __m256i pairs = kGroup % 2 == 0 ? fields.even : fields.odd;
  return _mm256_and_si256(_mm256_srli_epi16(pairs, kGroup / 2 * 2), _mm256_set1_epi8(3));
}

/// Tiles of a row of tiles, unpacked to one byte a weight, for reuse over tokens: eight steps of four columns
/// a tile, each [half of the rows][32 bytes].
constexpr size_t kBlockTiles = 14;
struct UnpackedBlock {
  alignas(32) uint8_t steps[kBlockTiles * 8][2][32];
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

/// Adds a block's products with kTokens arranged vectors to their sums. x: first token at the first column of
/// the block.
template <int kTokens>
void add_block(const UnpackedBlock& block, size_t tile_count, const int8_t* x, int32_t* sums,
               size_t sums_stride) {
  __m256i all[kTokens][2];
#pragma GCC unroll 4
  for (int t = 0; t < kTokens; ++t) {
    all[t][0] = load(sums + t * sums_stride);
    all[t][1] = load(sums + t * sums_stride + 8);
  }
  for (size_t first = 0; first < tile_count;) {
    const size_t end = tile_count - first > kTilesOfPart ? first + kTilesOfPart : tile_count;
    __m256i part[kTokens][2];
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; ++t) part[t][0] = part[t][1] = _mm256_setzero_si256();
    for (size_t step = first * 8; step < end * 8; ++step) {
      const __m256i low = load(block.steps[step][0]);
      const __m256i high = load(block.steps[step][1]);
#pragma GCC unroll 4
      for (int t = 0; t < kTokens; ++t) {
        const __m256i v = broadcast4(x + step * kStep + t * 4);
        part[t][0] = add_products(part[t][0], low, v);
        part[t][1] = add_products(part[t][1], high, v);
      }
    }
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; ++t) {
      all[t][0] = _mm256_add_epi32(all[t][0], widened(part[t][0]));
      all[t][1] = _mm256_add_epi32(all[t][1], widened(part[t][1]));
    }
    first = end;
  }
#pragma GCC unroll 4
  for (int t = 0; t < kTokens; ++t) {
    store(sums + t * sums_stride, all[t][0]);
    store(sums + t * sums_stride + 8, all[t][1]);
  }
}

}  // namespace

void matvec_int8(const uint8_t* tiles, size_t row_tiles, size_t column_tiles, const int8_t* x,
                 int32_t* sums) {
  const __m256i offset = _mm256_set1_epi32(avx2::sum_of_bytes(x, column_tiles));
  for (size_t rt = 0; rt < row_tiles; ++rt) {
    __m256i low_total = _mm256_setzero_si256();
    __m256i high_total = _mm256_setzero_si256();
    for (size_t ct = 0; ct < column_tiles;) {
      const size_t end = column_tiles - ct > kTilesOfPart ? ct + kTilesOfPart : column_tiles;
      RowSums low = no_sums();
      RowSums high = no_sums();
      for (; ct < end; ++ct) {
        const uint8_t* tile = tiles + (rt * column_tiles + ct) * kTileBytes;
        prefetch_ahead(tile);
        add_tile(low, high, tile, x + ct * kWord);
      }
      low_total = _mm256_add_epi32(low_total, total(low));
      high_total = _mm256_add_epi32(high_total, total(high));
    }
    store(sums + rt * kRows, _mm256_sub_epi32(low_total, offset));
    store(sums + rt * kRows + 8, _mm256_sub_epi32(high_total, offset));
  }
}

void matmul_int8(const uint8_t* tiles, size_t row_tiles, size_t column_tiles, const int8_t* blocks,
                 const int32_t* token_sums, size_t batch, int32_t* sums) {
  constexpr size_t kTokens = 4;
  const size_t sums_stride = row_tiles * kRows;
  const auto token = [&](size_t b) {
    return blocks + b / kTokenBlock * kTokenBlock * column_tiles * kWord + b % kTokenBlock * 4;
  };
  for (size_t b = 0; b < batch; ++b) {
    const __m256i start = _mm256_set1_epi32(-token_sums[b]);
    for (size_t i = 0; i < sums_stride; i += 8) store(sums + b * sums_stride + i, start);
  }
  UnpackedBlock block;
  for (size_t rt = 0; rt < row_tiles; ++rt) {
    for (size_t first = 0; first < column_tiles; first += kBlockTiles) {
      const size_t count = column_tiles - first > kBlockTiles ? kBlockTiles : column_tiles - first;
      for (size_t i = 0; i < count; ++i) {
        unpack_tile(tiles + (rt * column_tiles + first + i) * kTileBytes, block.steps + i * 8);
      }
      for (size_t b = 0; b < batch; b += kTokens) {
        const int8_t* x = token(b) + first * 8 * kStep;
        int32_t* block_sums = sums + b * sums_stride + rt * kRows;
        switch (batch - b) {
          case 1:
            add_block<1>(block, count, x, block_sums, sums_stride);
            break;
          case 2:
            add_block<2>(block, count, x, block_sums, sums_stride);
            break;
          case 3:
            add_block<3>(block, count, x, block_sums, sums_stride);
            break;
          default:
            add_block<4>(block, count, x, block_sums, sums_stride);
        }
      }
    }
  }
}

}  // namespace rotor::kernels::ROTOR_KERNEL_SET
