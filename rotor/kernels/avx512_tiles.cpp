// Products of tiles with int8 vectors in 512-bit registers, each of which holds a plane of 16 rows; compiled
// twice: without (namespace avx512) and with (avx512vnni) the dot products of VNNI.
//
// The two planes are joined into 2-bit fields that hold value + 1, as avx2_tiles.cpp does. Fields stay where
// they are in their byte: one at bit 2k counts 4^k times, in a sum of its own that is shifted back at the
// end.
#include <immintrin.h>

#include "rotor/kernels/kernel_set.h"
#include "rotor/kernels/tile_products.h"
#include "rotor/kernels/x86_prefetch.h"

namespace rotor::kernels::ROTOR_KERNEL_SET {
namespace {

constexpr size_t kWord = 32;        // columns of a plane word, and of a tile
constexpr size_t kTileBytes = 128;  // 16 words of plus, 16 of minus
constexpr size_t kRows = 16;
constexpr size_t kStep = 4 * kTokenBlock;  // bytes of four columns in arranged tokens

__m512i load(const void* p) {
  return _mm512_loadu_si512(p);
}
void store(void* p, __m512i v) {
  _mm512_storeu_si512(p, v);
}

/// sums + products of unsigned and signed bytes, added up in groups of four. Unsigned ones are at most 128,
/// so that two products fit 16 bits.
__m512i add_dot4(__m512i sums, __m512i unsigned_bytes, __m512i signed_bytes) {
#ifdef __AVX512VNNI__
  return _mm512_dpbusd_epi32(sums, unsigned_bytes, signed_bytes);
#else
  const __m512i pairs = _mm512_maddubs_epi16(unsigned_bytes, signed_bytes);
  return _mm512_add_epi32(sums, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
#endif
}

/// Four columns of x in every dword.
__m512i broadcast4(const int8_t* x) {
  int32_t word;
  __builtin_memcpy(&word, x, 4);
  return _mm512_set1_epi32(word);
}

int32_t sum_of_lanes(__m512i v) {
  return _mm512_reduce_add_epi32(v);
}

int32_t sum_of_bytes(const int8_t* x, size_t words) {
  __m512i sums = _mm512_setzero_si512();
  const __m512i ones = _mm512_set1_epi8(1);
  size_t i = 0;
  for (; i + 2 <= words; i += 2) sums = add_dot4(sums, ones, load(x + i * kWord));
  if (i < words) sums = add_dot4(sums, ones, _mm512_maskz_loadu_epi32(0x00FF, x + i * kWord));
  return sum_of_lanes(sums);
}

/// value + 1 of 16 rows and 32 columns in 2-bit fields: `even` holds bits 0 2 4 6 of each byte's columns,
/// `odd` 1 3 5 7.
struct Fields {
  __m512i even;
  __m512i odd;
};

Fields join_planes(const uint8_t* tile) {
  const __m512i low = _mm512_set1_epi8(0x55);
  const __m512i high = _mm512_set1_epi8(static_cast<char>(0xAA));
  const __m512i plus = load(tile);
  const __m512i minus = load(tile + 64);
  // The high bit of a field is plus, the low one is "neither plus nor minus".
  constexpr int kNeitherAnd = 0x02;  // ~(a | b) & c
  constexpr int kAndOr = 0xEA;       // (a & b) | c
  const __m512i neither_even = _mm512_ternarylogic_epi32(plus, minus, low, kNeitherAnd);
  const __m512i neither_odd = _mm512_ternarylogic_epi32(plus, minus, high, kNeitherAnd);
  return {_mm512_ternarylogic_epi32(_mm512_add_epi8(plus, plus), high, neither_even, kAndOr),
          _mm512_ternarylogic_epi32(plus, high, _mm512_srli_epi16(neither_odd, 1), kAndOr)};
}

/// Sums of 16 rows by the place of the fields, of even and odd bits: eight chains of additions, to hide their
/// latency.
struct RowSums {
  __m512i even[4];
  __m512i odd[4];
};

template <int kPlace>
void add_place(RowSums& sums, const Fields& fields, const int8_t* x) {
  const __m512i mask = _mm512_set1_epi8(static_cast<char>(3 << (2 * kPlace)));
  sums.even[kPlace] =
      add_dot4(sums.even[kPlace], _mm512_and_si512(fields.even, mask), broadcast4(x + 8 * kPlace));
  sums.odd[kPlace] =
      add_dot4(sums.odd[kPlace], _mm512_and_si512(fields.odd, mask), broadcast4(x + 8 * kPlace + 4));
}

__m512i total(const RowSums& sums) {
  const __m512i places[4] = {
      _mm512_add_epi32(sums.even[0], sums.odd[0]), _mm512_add_epi32(sums.even[1], sums.odd[1]),
      _mm512_add_epi32(sums.even[2], sums.odd[2]), _mm512_add_epi32(sums.even[3], sums.odd[3])};
  return _mm512_add_epi32(_mm512_add_epi32(places[0], _mm512_srai_epi32(places[1], 2)),
                          _mm512_add_epi32(_mm512_srai_epi32(places[2], 4), _mm512_srai_epi32(places[3], 6)));
}

/// Rows of tiles side by side, unpacked to one byte a weight, for reuse over tokens: eight steps of four
/// columns a tile, each [row of tiles][16 rows][4].
constexpr size_t kBlockTiles = 16;
constexpr size_t kRowTiles = 3;
struct UnpackedBlock {
  alignas(64) uint8_t steps[kBlockTiles * 8][kRowTiles][64];
};

template <int kGroup>
__m512i field_bytes(const Fields& fields) {
  const __m512i pairs = kGroup % 2 == 0 ? fields.even : fields.odd;
  return _mm512_and_si512(_mm512_srli_epi16(pairs, kGroup / 2 * 2), _mm512_set1_epi8(3));
}

void unpack_tile(const uint8_t* tile, size_t row_tile, uint8_t (*steps)[kRowTiles][64]) {
  const Fields fields = join_planes(tile);
  store(steps[0][row_tile], field_bytes<0>(fields));
  store(steps[1][row_tile], field_bytes<1>(fields));
  store(steps[2][row_tile], field_bytes<2>(fields));
  store(steps[3][row_tile], field_bytes<3>(fields));
  store(steps[4][row_tile], field_bytes<4>(fields));
  store(steps[5][row_tile], field_bytes<5>(fields));
  store(steps[6][row_tile], field_bytes<6>(fields));
  store(steps[7][row_tile], field_bytes<7>(fields));
}

/// Adds a block's products with kTokens arranged vectors to their sums. x: first column of the block. GCC
/// keeps arrays in registers only if the loops over them are unrolled early: half the speed without the
/// pragmas.
template <int kTokens, int kTiles>
void add_block(const UnpackedBlock& block, size_t steps, const int8_t* x, int32_t* sums, size_t sums_stride) {
  __m512i all[kTokens][kTiles];
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; ++t) {
#pragma GCC unroll 3
    for (int r = 0; r < kTiles; ++r) all[t][r] = load(sums + t * sums_stride + r * kRows);
  }
  for (size_t step = 0; step < steps; ++step) {
    __m512i weights[kTiles];
#pragma GCC unroll 3
    for (int r = 0; r < kTiles; ++r) weights[r] = load(block.steps[step][r]);
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) {
      const __m512i v = broadcast4(x + step * kStep + t * 4);
#pragma GCC unroll 3
      for (int r = 0; r < kTiles; ++r) all[t][r] = add_dot4(all[t][r], weights[r], v);
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; ++t) {
#pragma GCC unroll 3
    for (int r = 0; r < kTiles; ++r) store(sums + t * sums_stride + r * kRows, all[t][r]);
  }
}

using AddBlock = void (*)(const UnpackedBlock&, size_t, const int8_t*, int32_t*, size_t);

/// By tokens and rows of tiles.
constexpr AddBlock kAddBlock[kTokenBlock][kRowTiles] = {
    {add_block<1, 1>, add_block<1, 2>, add_block<1, 3>}, {add_block<2, 1>, add_block<2, 2>, add_block<2, 3>},
    {add_block<3, 1>, add_block<3, 2>, add_block<3, 3>}, {add_block<4, 1>, add_block<4, 2>, add_block<4, 3>},
    {add_block<5, 1>, add_block<5, 2>, add_block<5, 3>}, {add_block<6, 1>, add_block<6, 2>, add_block<6, 3>},
    {add_block<7, 1>, add_block<7, 2>, add_block<7, 3>}, {add_block<8, 1>, add_block<8, 2>, add_block<8, 3>}};

}  // namespace

void matvec_int8(const uint8_t* tiles, size_t row_tiles, size_t column_tiles, const int8_t* x,
                 int32_t* sums) {
  const __m512i offset = _mm512_set1_epi32(sum_of_bytes(x, column_tiles));
  const uint8_t* tile = tiles;
  for (size_t rt = 0; rt < row_tiles; ++rt) {
    RowSums row;
    for (size_t k = 0; k < 4; ++k) row.even[k] = row.odd[k] = _mm512_setzero_si512();
    for (size_t ct = 0; ct < column_tiles; ++ct, tile += kTileBytes) {
      prefetch_ahead(tile);
      const Fields fields = join_planes(tile);
      const int8_t* columns = x + ct * kWord;
      add_place<0>(row, fields, columns);
      add_place<1>(row, fields, columns);
      add_place<2>(row, fields, columns);
      add_place<3>(row, fields, columns);
    }
    store(sums + rt * kRows, _mm512_sub_epi32(total(row), offset));
  }
}

void matmul_int8(const uint8_t* tiles, size_t row_tiles, size_t column_tiles, const int8_t* blocks,
                 const int32_t* token_sums, size_t batch, int32_t* sums) {
  const size_t sums_stride = row_tiles * kRows;
  const size_t block_bytes = kTokenBlock * column_tiles * kWord;
  for (size_t b = 0; b < batch; ++b) {
    const __m512i start = _mm512_set1_epi32(-token_sums[b]);
    for (size_t i = 0; i < sums_stride; i += kRows) store(sums + b * sums_stride + i, start);
  }
  UnpackedBlock block;
  for (size_t rt = 0; rt < row_tiles; rt += kRowTiles) {
    const size_t rows = row_tiles - rt < kRowTiles ? row_tiles - rt : kRowTiles;
    for (size_t first = 0; first < column_tiles; first += kBlockTiles) {
      const size_t count = column_tiles - first < kBlockTiles ? column_tiles - first : kBlockTiles;
      const bool last_columns = first + kBlockTiles >= column_tiles;
      for (size_t r = 0; r < rows; ++r) {
        const uint8_t* tile = tiles + ((rt + r) * column_tiles + first) * kTileBytes;
        // The next block comes from memory while this one is multiplied.
        const uint8_t* next = last_columns ? tiles + (rt + kRowTiles + r) * column_tiles * kTileBytes
                                           : tile + kBlockTiles * kTileBytes;
        for (size_t i = 0; i < count; ++i) {
          _mm_prefetch(reinterpret_cast<const char*>(next + i * kTileBytes), _MM_HINT_T1);
          _mm_prefetch(reinterpret_cast<const char*>(next + i * kTileBytes + 64), _MM_HINT_T1);
          unpack_tile(tile + i * kTileBytes, r, block.steps + i * 8);
        }
      }
      for (size_t b = 0; b < batch; b += kTokenBlock) {
        const size_t tokens = batch - b < kTokenBlock ? batch - b : kTokenBlock;
        kAddBlock[tokens - 1][rows - 1](block, count * 8,
                                        blocks + b / kTokenBlock * block_bytes + first * 8 * kStep,
                                        sums + b * sums_stride + rt * kRows, sums_stride);
      }
    }
  }
}

}  // namespace rotor::kernels::ROTOR_KERNEL_SET
