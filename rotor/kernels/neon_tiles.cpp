// Products of tiles with int8 vectors in 128-bit registers, each of which holds a plane of 4 rows; compiled
// twice: without (namespace neon) and with (neondot) the dot products of ARMv8.2.
//
// The two planes are joined into 2-bit fields that hold value + 1, as avx2_tiles.cpp does.
#include <arm_neon.h>

#include "rotor/kernels/kernel_set.h"
#include "rotor/kernels/tile_products.h"

namespace rotor::kernels::ROTOR_KERNEL_SET {
namespace {

constexpr size_t kWord = 32;        // columns of a plane word, and of a tile
constexpr size_t kTileBytes = 128;  // 16 words of plus, 16 of minus
constexpr size_t kRows = 16;
constexpr size_t kQuads = 4;               // registers of 4 rows in a plane of a tile
constexpr size_t kStep = 4 * kTokenBlock;  // bytes of four columns in arranged tokens

#ifdef __ARM_FEATURE_DOTPROD

constexpr size_t kTilesOfPart = ~size_t{0};  // 32-bit sums need no rest

/// Sums of 4 rows.
struct Sums {
  int32x4_t rows;
};
Sums no_sums() {
  return {vdupq_n_s32(0)};
}
/// Adds products of 4 rows by 4 columns with four columns of x in every dword.
void add_products(Sums& sums, int8x16_t weights, int8x16_t x) {
  sums.rows = vdotq_s32(sums.rows, weights, x);
}
int32x4_t total(const Sums& sums) {
  return sums.rows;
}

#else

// A tile adds at most 8 * 2 * 128 to a sum of 16 bits.
constexpr size_t kTilesOfPart = 15;

struct Sums {
  int16x8_t low;   // products of rows 0 and 1
  int16x8_t high;  // of rows 2 and 3
};
Sums no_sums() {
  return {vdupq_n_s16(0), vdupq_n_s16(0)};
}
void add_products(Sums& sums, int8x16_t weights, int8x16_t x) {
  sums.low = vmlal_s8(sums.low, vget_low_s8(weights), vget_low_s8(x));
  sums.high = vmlal_high_s8(sums.high, weights, x);
}
int32x4_t total(const Sums& sums) {
  return vpaddq_s32(vpaddlq_s16(sums.low), vpaddlq_s16(sums.high));
}

#endif

int8x16_t broadcast4(const int8_t* x) {
  int32_t word;
  __builtin_memcpy(&word, x, 4);
  return vreinterpretq_s8_s32(vdupq_n_s32(word));
}

int32_t sum_of_bytes(const int8_t* x, size_t words) {
  int32x4_t sums = vdupq_n_s32(0);
  for (size_t i = 0; i < words * 2; ++i) sums = vpadalq_s16(sums, vpaddlq_s8(vld1q_s8(x + 16 * i)));
  return vaddvq_s32(sums);
}

/// value + 1 of 4 rows and 32 columns in 2-bit fields: `even` holds bits 0 2 4 6 of each byte's columns,
/// `odd` 1 3 5 7.
struct Fields {
  uint8x16_t even;
  uint8x16_t odd;
};

Fields join_planes(const uint8_t* plus, const uint8_t* minus) {
  const uint8x16_t alternate = vdupq_n_u8(0x55);
  const uint8x16_t p = vld1q_u8(plus);
  const uint8x16_t m = vld1q_u8(minus);
  return {vaddq_u8(vandq_u8(p, alternate), vbicq_u8(alternate, m)),
          vaddq_u8(vandq_u8(vshrq_n_u8(p, 1), alternate), vbicq_u8(alternate, vshrq_n_u8(m, 1)))};
}

/// Column group b (columns 4b..4b+3) of the fields, one byte a column.
template <int kGroup>
int8x16_t field_bytes(const Fields& fields) {
  constexpr int kShift = kGroup / 2 * 2;
  const uint8x16_t pairs = kGroup % 2 == 0 ? fields.even : fields.odd;
  if constexpr (kShift == 0) return vreinterpretq_s8_u8(vandq_u8(pairs, vdupq_n_u8(3)));
  if constexpr (kShift == 6) return vreinterpretq_s8_u8(vshrq_n_u8(pairs, 6));
  if constexpr (kShift == 2) return vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(pairs, 2), vdupq_n_u8(3)));
  return vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(pairs, 4), vdupq_n_u8(3)));
}

/// Adds the products of a tile with 32 columns of x.
void add_tile(Sums sums[kQuads], const uint8_t* tile, const int8_t* x) {
  const int8x16_t columns[8] = {broadcast4(x),      broadcast4(x + 4),  broadcast4(x + 8),
                                broadcast4(x + 12), broadcast4(x + 16), broadcast4(x + 20),
                                broadcast4(x + 24), broadcast4(x + 28)};
#pragma GCC unroll 4
  for (size_t q = 0; q < kQuads; ++q) {
    const Fields fields = join_planes(tile + 16 * q, tile + 64 + 16 * q);
    add_products(sums[q], field_bytes<0>(fields), columns[0]);
    add_products(sums[q], field_bytes<1>(fields), columns[1]);
    add_products(sums[q], field_bytes<2>(fields), columns[2]);
    add_products(sums[q], field_bytes<3>(fields), columns[3]);
    add_products(sums[q], field_bytes<4>(fields), columns[4]);
    add_products(sums[q], field_bytes<5>(fields), columns[5]);
    add_products(sums[q], field_bytes<6>(fields), columns[6]);
    add_products(sums[q], field_bytes<7>(fields), columns[7]);
  }
}

/// Tiles of a row of tiles, unpacked to one byte a weight, for reuse over tokens: eight steps of four columns
/// a tile, each [4 rows of the tile][16 bytes].
constexpr size_t kBlockTiles = 15;
struct UnpackedBlock {
  int8_t steps[kBlockTiles * 8][kQuads][16];
};

void unpack_tile(const uint8_t* tile, int8_t (*steps)[kQuads][16]) {
  for (size_t q = 0; q < kQuads; ++q) {
    const Fields fields = join_planes(tile + 16 * q, tile + 64 + 16 * q);
    vst1q_s8(steps[0][q], field_bytes<0>(fields));
    vst1q_s8(steps[1][q], field_bytes<1>(fields));
    vst1q_s8(steps[2][q], field_bytes<2>(fields));
    vst1q_s8(steps[3][q], field_bytes<3>(fields));
    vst1q_s8(steps[4][q], field_bytes<4>(fields));
    vst1q_s8(steps[5][q], field_bytes<5>(fields));
    vst1q_s8(steps[6][q], field_bytes<6>(fields));
    vst1q_s8(steps[7][q], field_bytes<7>(fields));
  }
}

/// Adds a block's products with kTokens arranged vectors to their sums. x: first column of the block.
template <int kTokens>
void add_block(const UnpackedBlock& block, size_t steps, const int8_t* x, int32_t* sums, size_t sums_stride) {
  constexpr size_t kPair = 2;  // quads at once: more registers there are not
  for (size_t first = 0; first < kQuads; first += kPair) {
    Sums part[kTokens][kPair];
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; ++t) part[t][0] = part[t][1] = no_sums();
    for (size_t step = 0; step < steps; ++step) {
      const int8x16_t low = vld1q_s8(block.steps[step][first]);
      const int8x16_t high = vld1q_s8(block.steps[step][first + 1]);
#pragma GCC unroll 4
      for (int t = 0; t < kTokens; ++t) {
        const int8x16_t v = broadcast4(x + step * kStep + t * 4);
        add_products(part[t][0], low, v);
        add_products(part[t][1], high, v);
      }
    }
#pragma GCC unroll 4
    for (int t = 0; t < kTokens; ++t) {
      for (size_t q = 0; q < kPair; ++q) {
        int32_t* at = sums + t * sums_stride + 4 * (first + q);
        vst1q_s32(at, vaddq_s32(vld1q_s32(at), total(part[t][q])));
      }
    }
  }
}

}  // namespace

void matvec_int8(const uint8_t* tiles, size_t row_tiles, size_t column_tiles, const int8_t* x,
                 int32_t* sums) {
  const int32x4_t offset = vdupq_n_s32(sum_of_bytes(x, column_tiles));
  for (size_t rt = 0; rt < row_tiles; ++rt) {
    int32x4_t all[kQuads];
    for (int32x4_t& quad : all) quad = vnegq_s32(offset);
    for (size_t ct = 0; ct < column_tiles;) {
      const size_t end = column_tiles - ct > kTilesOfPart ? ct + kTilesOfPart : column_tiles;
      Sums part[kQuads];
      for (Sums& quad : part) quad = no_sums();
      for (; ct < end; ++ct) add_tile(part, tiles + (rt * column_tiles + ct) * kTileBytes, x + ct * kWord);
#pragma GCC unroll 4
      for (size_t q = 0; q < kQuads; ++q) all[q] = vaddq_s32(all[q], total(part[q]));
    }
#pragma GCC unroll 4
    for (size_t q = 0; q < kQuads; ++q) vst1q_s32(sums + rt * kRows + 4 * q, all[q]);
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
    const int32_t start = -token_sums[b];
    for (size_t i = 0; i < sums_stride; ++i) sums[b * sums_stride + i] = start;
  }
  UnpackedBlock block;
  for (size_t rt = 0; rt < row_tiles; ++rt) {
    for (size_t first = 0; first < column_tiles; first += kBlockTiles) {
      const size_t count = column_tiles - first < kBlockTiles ? column_tiles - first : kBlockTiles;
      for (size_t i = 0; i < count; ++i) {
        unpack_tile(tiles + (rt * column_tiles + first + i) * kTileBytes, block.steps + i * 8);
      }
      for (size_t b = 0; b < batch; b += kTokens) {
        const int8_t* x = token(b) + first * 8 * kStep;
        int32_t* block_sums = sums + b * sums_stride + rt * kRows;
        switch (batch - b) {
          case 1:
            add_block<1>(block, count * 8, x, block_sums, sums_stride);
            break;
          case 2:
            add_block<2>(block, count * 8, x, block_sums, sums_stride);
            break;
          case 3:
            add_block<3>(block, count * 8, x, block_sums, sums_stride);
            break;
          default:
            add_block<4>(block, count * 8, x, block_sums, sums_stride);
        }
      }
    }
  }
}

}  // namespace rotor::kernels::ROTOR_KERNEL_SET
