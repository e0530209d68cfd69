// The input of ternary layers as int8 codes, in the words that ternary.h multiplies, padded with zeros to
// whole tiles; a group a token. First what comes before, as far as it is wanted: the activation of a gate
// times `up`, and an RMSNorm. A work item has every GROUP-th four columns; KEPT of those at most, it reads
// them once and keeps them; with KEPT 0 it reads them for each step again.
//
// DOT=1: word w holds columns 4w .. 4w + 3 in its bytes.
// DOT=0: word 2w holds column 4w + 2 plus 2^16 times column 4w, word 2w + 1 the same of 4w + 3 and 4w + 1.
#include "dialect.h"
#include "activations.h"

CONSTANT(1, KEPT, 0)
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
#define VALUE(i) ((i) >= p.cols ? 0.0f : p.gated == 0u ? x[first + (i)] : \
                  activate(x[first + (i)], p.kind, 0.0f) * up[first + (i)])
#define FOUR_VALUES(word) VEC4(VALUE(4u * (word)), VALUE(4u * (word) + 1u), VALUE(4u * (word) + 2u), VALUE(4u * (word) + 3u))
#define GAIN(i) ((i) < p.cols ? gain[i] : 0.0f)
#define FOUR_GAINS(word) VEC4(GAIN(4u * (word)), GAIN(4u * (word) + 1u), GAIN(4u * (word) + 2u), GAIN(4u * (word) + 3u))
  uint first = GROUP_X * p.cols;
  uint words = (p.cols + 3u) / 4u;
  vec4 kept[KEPT + 1u];
  float inverse = 1.0f;
  float sum = 0.0f;
  if (KEPT > 0u) {
    for (uint k = 0u; k < KEPT; ++k) kept[k] = FOUR_VALUES(LANE + k * GROUP);
  }
  if (p.normed != 0u) {
    for (uint word = LANE, k = 0u; word < words; word += GROUP, ++k) {
      vec4 v = KEPT > 0u ? kept[k] : FOUR_VALUES(word);
      sum += (v.x * v.x + v.y * v.y) + (v.z * v.z + v.w * v.w);
    }
    GROUP_SUM(sum, scratch)
    inverse = 1.0f / sqrt(sum / FLOAT(p.cols) + p.eps);
  }
  float largest = 1e-5f;
  for (uint word = LANE, k = 0u; word < words; word += GROUP, ++k) {
    vec4 v = KEPT > 0u ? kept[k] : FOUR_VALUES(word);
    if (p.normed != 0u) v = v * inverse * FOUR_GAINS(word);
    if (KEPT > 0u) kept[k] = v;
    largest = fmax(fmax(fmax(fabs(v.x), fabs(v.y)), fmax(fabs(v.z), fabs(v.w))), largest);
  }
  GROUP_MAX(largest, scratch)
  float scale = 127.0f / largest;
  int code_sum = 0;
  for (uint word = LANE, k = 0u; word < p.col_tiles * 8u; word += GROUP, ++k) {
    vec4 v = VEC4(0.0f, 0.0f, 0.0f, 0.0f);
    if (word < words) {
      v = KEPT > 0u ? kept[k] : FOUR_VALUES(word);
      if (KEPT == 0u && p.normed != 0u) v = v * inverse * FOUR_GAINS(word);
    }
    int a = INT(fmax(-128.0f, fmin(127.0f, ROUND_EVEN(v.x * scale))));
    int b = INT(fmax(-128.0f, fmin(127.0f, ROUND_EVEN(v.y * scale))));
    int c = INT(fmax(-128.0f, fmin(127.0f, ROUND_EVEN(v.z * scale))));
    int d = INT(fmax(-128.0f, fmin(127.0f, ROUND_EVEN(v.w * scale))));
    code_sum += (a + b) + (c + d);
    uint place = GROUP_X * p.col_tiles * 8u + word;
#if DOT
    codes[place] = (UINT(a) & 255u) | (UINT(b) & 255u) << 8u | (UINT(c) & 255u) << 16u | UINT(d) << 24u;
#else
    codes[2u * place] = UINT(c) + (UINT(a) << 16u);
    codes[2u * place + 1u] = UINT(d) + (UINT(b) << 16u);
#endif
  }
  GROUP_REDUCE(code_sum, int_scratch, SUBGROUP_ADD, ADDED)
  if (LANE == 0u) {
    scales[GROUP_X] = scale;
    sums[GROUP_X] = code_sum;
  }
}
END
