// Planes times floats, for comparisons without activation quantization: a work item a row.
#include "dialect.h"

PARAMS(uint rows; uint cols; uint col_tiles; uint y_first; uint y_cols; float scale; uint add;)
KERNEL(matvec_planes_float,
  READS(0, uint, tiles)
  READS(1, float, x)
  WRITES(2, float, y))
NO_LOCALS
BODY {
  uint row = GROUP_X * GROUP + LANE;
  if (row < p.rows) {
    float sum = 0.0f;
    for (uint tile = 0u; tile < p.col_tiles; ++tile) {
      uint place = (row / 16u * p.col_tiles + tile) * 32u + row % 16u;
      uint plus = tiles[place];
      uint minus = tiles[place + 16u];
      float tile_sum = 0.0f;
      for (uint c = 0u; c < 32u && tile * 32u + c < p.cols; ++c) {
        uint bit = 8u * (c & 3u) + (c >> 2u);
        float weight = FLOAT(INT(plus >> bit & 1u) - INT(minus >> bit & 1u));
        tile_sum += weight * x[GROUP_Y * p.cols + tile * 32u + c];
      }
      sum += tile_sum;
    }
    uint place = GROUP_Y * p.y_cols + p.y_first + row;
    float value = sum * p.scale;
    y[place] = p.add != 0u ? y[place] + value : value;
  }
}
END
