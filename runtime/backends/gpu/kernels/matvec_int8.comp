// Planes times one token's int8 codes, up to three matrices of one input whose tiles lie in one buffer:
// y[row] (+)= sum * (weight scale / activation scale). A group computes the 16 rows of a tile row; its work
// items share the columns.
#include "dialect.h"
#include "ternary.h"

PARAMS(uint col_tiles; uint first0; uint first1; uint first2; uint groups0; uint groups01; uint rows0; uint rows1;
       uint rows2; float scale0; float scale1; float scale2; uint add;)
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
  uint token = GROUP_Y;
  uint matrix = GROUP_X < p.groups0 ? 0u : GROUP_X < p.groups01 ? 1u : 2u;
  uint row_tile = GROUP_X - (matrix == 0u ? 0u : matrix == 1u ? p.groups0 : p.groups01);
  uint first = matrix == 0u ? p.first0 : matrix == 1u ? p.first1 : p.first2;  // words
  uint item = LANE % ITEMS;
  uint slice = LANE / ITEMS;
  uint slices = GROUP / ITEMS;
  uint tile = (first + row_tile * p.col_tiles * 32u) / ROWS + item;
  uint x_first = token * p.col_tiles * TILE_VECTORS;
  sums_t total = AS_SUMS(ROWS_OF(0u));
  for (uint i = slice; i < p.col_tiles; i += slices) {
    rows_t plus = tiles[tile + i * (32u / ROWS)];
    rows_t minus = tiles[tile + i * (32u / ROWS) + ITEMS];
    MULTIPLY_TILE(plus, minus, x, x_first + i * TILE_VECTORS, total)
  }
  STORE_ROWS(sums, slice * 16u + item * ROWS, total)
  BARRIER();
  uint rows = matrix == 0u ? p.rows0 : matrix == 1u ? p.rows1 : p.rows2;
  float scale = (matrix == 0u ? p.scale0 : matrix == 1u ? p.scale1 : p.scale2) / x_scales[token];
  for (uint r = LANE; r < 16u; r += GROUP) {
    uint row = row_tile * 16u + r;
    int sum = -x_sums[token];
    for (uint s = 0u; s < slices; ++s) sum += sums[s * 16u + r];
    if (row < rows) {
      float value = FLOAT(sum) * scale;
      uint place = token * rows + row;
      if (matrix == 0u) y0[place] = (p.add & 1u) != 0u ? y0[place] + value : value;
      if (matrix == 1u) y1[place] = (p.add & 2u) != 0u ? y1[place] + value : value;
      if (matrix == 2u) y2[place] = (p.add & 4u) != 0u ? y2[place] + value : value;
    }
  }
}
END
