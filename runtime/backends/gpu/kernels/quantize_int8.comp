// The input of ternary layers as int8 codes, in the words that ternary.h multiplies, padded with zeros to
// whole tiles; a group a token. First what comes before, as far as it is wanted: the activation of a gate
// times `up`, and an RMSNorm.
//
// DOT=1: word w holds columns 4w .. 4w + 3 in its bytes.
// DOT=0: word 2w holds column 4w + 2 plus 2^16 times column 4w, word 2w + 1 the same of 4w + 3 and 4w + 1.
#include "dialect.h"
#include "activations.h"

PARAMS(uint cols; uint col_tiles; uint gated; uint kind; uint normed; float eps;)
KERNEL(quantize_int8,
  READS(0, float, x)
  READS(1, float, up)
  READS(2, float, gain)
  WRITES(3, uint, codes)
  WRITES(4, float, scales)
  WRITES(5, int, sums))
LOCALS(LOCAL(float, scratch, GROUP) LOCAL(int, int_scratch, GROUP))
BODY {
  uint first = GROUP_X * p.cols;
  float inverse = 1.0f;
  if (p.normed != 0u) {
    float sum = 0.0f;
    for (uint i = LANE; i < p.cols; i += GROUP) {
      float v = p.gated != 0u ? activate(x[first + i], p.kind, 0.0f) * up[first + i] : x[first + i];
      sum += v * v;
    }
    GROUP_SUM(sum, scratch)
    inverse = 1.0f / sqrt(sum / FLOAT(p.cols) + p.eps);
  }
  float largest = 1e-5f;
  for (uint i = LANE; i < p.cols; i += GROUP) {
    float v = p.gated != 0u ? activate(x[first + i], p.kind, 0.0f) * up[first + i] : x[first + i];
    if (p.normed != 0u) v = v * inverse * gain[i];
    largest = LARGER(fabs(v), largest);
  }
  GROUP_MAX(largest, scratch)
  float scale = 127.0f / largest;
  int code_sum = 0;
  for (uint word = LANE; word < p.col_tiles * 8u; word += GROUP) {
    ivec4 c = TO_INTS(UVEC4(0u, 0u, 0u, 0u));
    for (uint j = 0u; j < 4u; ++j) {
      uint i = word * 4u + j;
      if (i < p.cols) {
        float v = p.gated != 0u ? activate(x[first + i], p.kind, 0.0f) * up[first + i] : x[first + i];
        if (p.normed != 0u) v = v * inverse * gain[i];
        int code = INT(fmax(-128.0f, fmin(127.0f, ROUND_EVEN(v * scale))));
        code_sum += code;
        if (j == 0u) c.x = code;
        if (j == 1u) c.y = code;
        if (j == 2u) c.z = code;
        if (j == 3u) c.w = code;
      }
    }
    uint place = GROUP_X * p.col_tiles * 8u + word;
#if DOT
    codes[place] = (UINT(c.x) & 255u) | (UINT(c.y) & 255u) << 8u | (UINT(c.z) & 255u) << 16u | UINT(c.w) << 24u;
#else
    codes[2u * place] = UINT(c.z) + (UINT(c.x) << 16u);
    codes[2u * place + 1u] = UINT(c.w) + (UINT(c.y) << 16u);
#endif
  }
  GROUP_REDUCE(code_sum, int_scratch, SUBGROUP_ADD, ADDED)
  if (LANE == 0u) {
    scales[GROUP_X] = scale;
    sums[GROUP_X] = code_sum;
  }
}
END
