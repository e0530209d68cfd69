// A dense matrix times TOKENS tokens: y[t, first + row] (+)= sum * row scale * factor. LANES work items share the
// columns of BLOCK rows; VECTORS: rows begin at multiples of 16 bytes.
#include "dialect.h"
#include "numbers.h"

CONSTANT(1, LANES, 32)
CONSTANT(2, BLOCK, 1)
CONSTANT(3, TOKENS, 1)
CONSTANT(4, VECTORS, 1)
PARAMS(uint rows; uint cols; uint tokens; uint y_cols; uint y_first; uint add; float factor;)
KERNEL(matvec_dense,
  READS(0, uvec4, matrix)
  READS(1, float, row_scales)
  READS(2, vec4, x)
  WRITES(3, float, y))
LOCALS(LOCAL(float, scratch, GROUP))
BODY {
  uint lane = LANE % LANES;
  uint first_row = (GROUP_X * (GROUP / LANES) + LANE / LANES) * BLOCK;
  uint first_token = GROUP_Y * TOKENS;
  vec4 sums[BLOCK * TOKENS];
  for (uint i = 0u; i < BLOCK * TOKENS; ++i) sums[i] = VEC4(0.0f, 0.0f, 0.0f, 0.0f);
  if (VECTORS != 0u) {
    uint vectors = p.cols / VALUES;
    for (uint v = lane; v < vectors; v += LANES) {
      for (uint r = 0u; r < BLOCK; ++r) {
        uint row = first_row + r;
        uvec4 w = matrix[(row < p.rows ? row : p.rows - 1u) * vectors + v];
        for (uint t = 0u; t < TOKENS; ++t) {
          uint token = first_token + t;
          uint x_first = ((token < p.tokens ? token : p.tokens - 1u) * vectors + v) * (VALUES / 4u);
          MULTIPLY_VECTOR(w, x, x_first, sums[r * TOKENS + t])
        }
      }
    }
  } else {
    for (uint c = lane; c < p.cols; c += LANES) {
      for (uint r = 0u; r < BLOCK; ++r) {
        uint row = first_row + r;
        float w = NUMBER_AT(matrix, (row < p.rows ? row : p.rows - 1u) * p.cols + c);
        for (uint t = 0u; t < TOKENS; ++t) {
          uint token = first_token + t;
          sums[r * TOKENS + t].x += w * FLOAT_AT(x, (token < p.tokens ? token : p.tokens - 1u) * p.cols + c);
        }
      }
    }
  }
  for (uint i = 0u; i < BLOCK * TOKENS; ++i) {
    scratch[LANE] = (sums[i].x + sums[i].y) + (sums[i].z + sums[i].w);
    BARRIER();
    for (uint width = LANES / 2u; width > 0u; width /= 2u) {
      if (lane < width) scratch[LANE] += scratch[LANE + width];
      BARRIER();
    }
    uint row = first_row + i / TOKENS;
    uint token = first_token + i % TOKENS;
    if (lane == 0u && row < p.rows && token < p.tokens) {
      float value = scratch[LANE] * p.factor;
#if TYPE == 2
      value *= row_scales[p.y_first + row];
#endif
      uint place = token * p.y_cols + p.y_first + row;
      y[place] = p.add != 0u ? y[place] + value : value;
    }
    BARRIER();
  }
}
END
