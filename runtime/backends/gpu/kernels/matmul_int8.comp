// Planes times the int8 codes of many tokens: a group computes 64 rows of GROUP / 4 tokens, a work item 4 by
// 4 of them. A tile column of the weights is unpacked once for all tokens of the group.
#include "dialect.h"
#define ROWS 1
#include "ternary.h"

#define WORDS (TILE_VECTORS * 4u)
#define TILE_TOKENS (GROUP / 4u)
PARAMS(uint rows; uint col_tiles; uint row_tiles; uint tokens; uint y_first; uint y_cols; float scale; uint add;)
KERNEL(matmul_int8,
  READS(0, uint, tiles)
  READS(1, uint, x)
  READS(2, float, x_scales)
  READS(3, int, x_sums)
  WRITES(4, float, y))
LOCALS(LOCAL(uint, weights, WORDS * 64u) LOCAL(uint, codes, WORDS * TILE_TOKENS))
BODY {
  uint row = LANE % 16u;
  uint first_tile = GROUP_X * 4u;
  uint first_token = GROUP_Y * TILE_TOKENS + LANE / 16u * 4u;
  int totals[16];
  for (uint i = 0u; i < 16u; ++i) totals[i] = 0;
  for (uint tile = 0u; tile < p.col_tiles; ++tile) {
    for (uint i = LANE; i < 64u; i += GROUP) {
      uint row_tile = first_tile + i / 16u;
      uint place = ((row_tile < p.row_tiles ? row_tile : p.row_tiles - 1u) * p.col_tiles + tile) * 32u + i % 16u;
      uint even = EVEN_FIELDS(tiles[place], tiles[place + 16u]);
      uint odd = ODD_FIELDS(tiles[place], tiles[place + 16u]);
      for (uint bit = 0u; bit < 8u; bit += 2u) {
#if DOT
        weights[bit * 64u + i] = (even >> bit) & 0x03030303u;
        weights[(bit + 1u) * 64u + i] = (odd >> bit) & 0x03030303u;
#else
        weights[2u * bit * 64u + i] = (even >> bit) & 0x00030003u;
        weights[(2u * bit + 1u) * 64u + i] = (even >> (bit + 8u)) & 0x00030003u;
        weights[(2u * bit + 2u) * 64u + i] = (odd >> bit) & 0x00030003u;
        weights[(2u * bit + 3u) * 64u + i] = (odd >> (bit + 8u)) & 0x00030003u;
#endif
      }
    }
    for (uint i = LANE; i < WORDS * TILE_TOKENS; i += GROUP) {
      uint token = GROUP_Y * TILE_TOKENS + i / WORDS;
      if (token >= p.tokens) token = p.tokens - 1u;
      codes[i] = x[(token * p.col_tiles + tile) * WORDS + i % WORDS];
    }
    BARRIER();
#if !DOT
    uint sums_of_tile[16];
    for (uint i = 0u; i < 16u; ++i) sums_of_tile[i] = 0u;
#endif
    for (uint w = 0u; w < WORDS; ++w) {
      for (uint r = 0u; r < 4u; ++r) {
        uint weight = weights[w * 64u + r * 16u + row];
        for (uint t = 0u; t < 4u; ++t) {
          uint code = codes[(LANE / 16u * 4u + t) * WORDS + w];
#if DOT
          totals[r * 4u + t] = DOT4(weight, code, totals[r * 4u + t]);
#else
          sums_of_tile[r * 4u + t] += weight * code;
#endif
        }
      }
    }
#if !DOT
    for (uint i = 0u; i < 16u; ++i) totals[i] += UPPER_HALVES(sums_of_tile[i]);
#endif
    BARRIER();
  }
  for (uint i = 0u; i < 16u; ++i) {
    uint y_row = (first_tile + i / 4u) * 16u + row;
    uint token = first_token + i % 4u;
    if (y_row < p.rows && token < p.tokens) {
      float value = FLOAT(totals[i] - x_sums[token]) * (p.scale / x_scales[token]);
      uint place = token * p.y_cols + p.y_first + y_row;
      y[place] = p.add != 0u ? y[place] + value : value;
    }
  }
}
END
