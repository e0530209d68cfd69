// Planes times planes, by counting bits: y[t, row] (+)= sum * scale; a group computes the 16 rows of a tile
// row, its work items share the columns.
#include "dialect.h"

PARAMS(uint rows; uint col_tiles; uint y_first; uint y_cols; float scale; uint add;)
KERNEL(matvec_ternary,
  READS(0, uint, tiles)
  READS(1, uint, x)
  WRITES(2, float, y))
LOCALS(LOCAL(int, sums, GROUP))
BODY {
  uint slices = GROUP / 16u;
  int sum = 0;
  for (uint i = LANE / 16u; i < p.col_tiles; i += slices) {
    uint place = (GROUP_X * p.col_tiles + i) * 32u + LANE % 16u;
    uint plus = tiles[place];
    uint minus = tiles[place + 16u];
    uint x_plus = x[2u * (GROUP_Y * p.col_tiles + i)];
    uint x_minus = x[2u * (GROUP_Y * p.col_tiles + i) + 1u];
    sum += INT(POPCOUNT((plus & x_plus) | (minus & x_minus)));
    sum -= INT(POPCOUNT((plus & x_minus) | (minus & x_plus)));
  }
  sums[LANE] = sum;
  BARRIER();
  uint row = GROUP_X * 16u + LANE;
  if (LANE < 16u && row < p.rows) {
    sum = 0;
    for (uint s = 0u; s < slices; ++s) sum += sums[s * 16u + LANE];
    uint place = GROUP_Y * p.y_cols + p.y_first + row;
    float value = FLOAT(sum) * p.scale;
    y[place] = p.add != 0u ? y[place] + value : value;
  }
}
END
