// Planes times the int8 codes of TOKENS tokens, up to three matrices of one input whose tiles lie in one
// buffer: y[t, row] (+)= sum * (weight scale / activation scale). A group computes the 16 rows of a tile row;
// its work items share the columns.
#include "dialect.h"
#include "ternary.h"

CONSTANT(1, TOKENS, 1)
PARAMS(uint col_tiles; uint first0; uint first1; uint first2; uint groups0; uint groups01; uint rows0; uint rows1;
       uint rows2; float scale0; float scale1; float scale2; uint add; uint tokens;)
KERNEL(matvec_int8,
  READS(0, rows_t, tiles)
  READS(1, uvec4, x)
  READS(2, float, x_scales)
  READS(3, int, x_sums)
  WRITES(4, float, y0)
  WRITES(5, float, y1)
  WRITES(6, float, y2))
LOCALS(LOCAL(int, sums, GROUP * ROWS))
BODY {
  uint matrix = GROUP_X < p.groups0 ? 0u : GROUP_X < p.groups01 ? 1u : 2u;
  uint row_tile = GROUP_X - (matrix == 0u ? 0u : matrix == 1u ? p.groups0 : p.groups01);
  uint first = matrix == 0u ? p.first0 : matrix == 1u ? p.first1 : p.first2;  // words
  uint item = LANE % ITEMS;
  uint slice = LANE / ITEMS;
  uint slices = GROUP / ITEMS;
  uint tile = (first + row_tile * p.col_tiles * 32u) / ROWS + item;
  uint first_token = GROUP_Y * TOKENS;
  sums_t totals[TOKENS];
  for (uint t = 0u; t < TOKENS; ++t) totals[t] = AS_SUMS(ROWS_OF(0u));
  for (uint i = slice; i < p.col_tiles; i += slices) {
    rows_t plus = tiles[tile + i * (32u / ROWS)];
    rows_t minus = tiles[tile + i * (32u / ROWS) + ITEMS];
    rows_t even = EVEN_FIELDS(plus, minus);
    rows_t odd = ODD_FIELDS(plus, minus);
    for (uint t = 0u; t < TOKENS; ++t) {
      uint token = first_token + t < p.tokens ? first_token + t : p.tokens - 1u;
      uint x_first = (token * p.col_tiles + i) * TILE_VECTORS;
      MULTIPLY_TILE(even, odd, x, x_first, totals[t])
    }
  }
  uint rows = matrix == 0u ? p.rows0 : matrix == 1u ? p.rows1 : p.rows2;
  float weight_scale = matrix == 0u ? p.scale0 : matrix == 1u ? p.scale1 : p.scale2;
  for (uint t = 0u; t < TOKENS; ++t) {
    STORE_ROWS(sums, slice * 16u + item * ROWS, totals[t])
    BARRIER();
    uint token = first_token + t;
    for (uint r = LANE; r < 16u; r += GROUP) {
      uint row = row_tile * 16u + r;
      if (row < rows && token < p.tokens) {
        int sum = -x_sums[token];
        for (uint s = 0u; s < slices; ++s) sum += sums[s * 16u + r];
        float value = FLOAT(sum) * (weight_scale / x_scales[token]);
        uint place = token * rows + row;
        if (matrix == 0u) y0[place] = (p.add & 1u) != 0u ? y0[place] + value : value;
        if (matrix == 1u) y1[place] = (p.add & 2u) != 0u ? y1[place] + value : value;
        if (matrix == 2u) y2[place] = (p.add & 4u) != 0u ? y2[place] + value : value;
      }
    }
    BARRIER();
  }
}
END
