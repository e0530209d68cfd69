// softmax(q k^T / sqrt(dim)) v over a stretch of a text: a group a query head of a token and a stretch.
// Its work items share out the tokens for the scores, GROUP at a time, and then the dimensions of the values;
// the softmax is kept up to date from block to block (Milakov and Gimelshein 2018, arXiv:1805.02867). With
// more than one stretch, attention_merge.comp puts them together.
#include "dialect.h"
#include "numbers.h"
#include "activations.h"

CONSTANT(1, D4, 32)
CONSTANT(2, SPLIT, 0)
PARAMS(uint slot; uint queries; uint heads; uint dim; uint page_tokens; uint page_shift; uint values_first; uint stretch; float scale;)
#include "kv_cache.h"
KERNEL(attention,
  READS(0, float, q)
  READS(1, unit_t, cache)
  READS(2, float, cache_scales)
  READS(3, uint, step)
  WRITES(4, float, y)
  WRITES(5, vec4, parts))
LOCALS(LOCAL(vec4, query, D4) LOCAL(float, weights, GROUP) LOCAL(float, scratch, GROUP) LOCAL(vec4, sums, GROUP))
BODY {
  uint query_heads = p.queries * p.heads;
  uint head = GROUP_X / p.queries;
  uint first = (GROUP_Y * query_heads + GROUP_X) * p.dim;
  uint begin = GROUP_Z * p.stretch;
  uint count = ROW_TOKEN(GROUP_Y) + 1u;
  uint pages = ROW_PAGES(GROUP_Y);
  uint end = begin + p.stretch < count ? begin + p.stretch : count;
  for (uint d = LANE; d < D4; d += GROUP) {
    uint i = first + 4u * d;
    uint left = p.dim - 4u * d;
    query[d] = VEC4(q[i], left > 1u ? q[i + 1u] : 0.0f, left > 2u ? q[i + 2u] : 0.0f, left > 3u ? q[i + 3u] : 0.0f);
  }
  BARRIER();
  uint slices = GROUP / D4;
  uint slice = LANE / D4;
  uint unit = LANE % D4;
  float largest = -3e38f;
  float total = 0.0f;
  vec4 sum = VEC4(0.0f, 0.0f, 0.0f, 0.0f);
  for (uint block = begin; block < end; block += GROUP) {
    uint token = block + LANE;
    float score = -3e38f;
    if (token < end) {
      vec4 products = VEC4(0.0f, 0.0f, 0.0f, 0.0f);
      uint place = KEY_PLACE(PAGE_OF(pages, token), head, 0u, IN_PAGE(token));
      for (uint d = 0u; d < D4; ++d) products += query[d] * UNIT_VALUES(cache[place + d * p.page_tokens]);
      score = ((products.x + products.y) + (products.z + products.w)) * p.scale;
#if TYPE == 2
      score *= cache_scales[SCALE_PLACE(PAGE_OF(pages, token), 0u, head, IN_PAGE(token))];
#endif
    }
    float block_largest = score;
    GROUP_MAX(block_largest, scratch)
    float new_largest = LARGER(block_largest, largest);
    float correction = exp_below_zero(largest - new_largest);
    float weight = token < end ? exp_below_zero(score - new_largest) : 0.0f;
    weights[LANE] = weight;
#if TYPE == 2
    if (token < end) {
      weights[LANE] = weight * cache_scales[SCALE_PLACE(PAGE_OF(pages, token), 1u, head, IN_PAGE(token))];
    }
#endif
    GROUP_SUM(weight, scratch)
    total = total * correction + weight;
    sum *= correction;
    uint block_count = end - block < GROUP ? end - block : GROUP;
    if (slice < slices) {
      for (uint i = slice; i < block_count; i += slices) {
        uint from = block + i;
        sum += weights[i] * UNIT_VALUES(cache[VALUE_PLACE(PAGE_OF(pages, from), head, unit, IN_PAGE(from))]);
      }
    }
    BARRIER();
    largest = new_largest;
  }
  sums[LANE] = sum;
  BARRIER();
  if (LANE < D4) {
    for (uint s = 1u; s < slices; ++s) sum += sums[s * D4 + LANE];
    if (SPLIT != 0u) {
      uint part = ((GROUP_Y * query_heads + GROUP_X) * GROUPS_Z + GROUP_Z) * (D4 + 1u);
      parts[part + 1u + LANE] = sum;
      if (LANE == 0u) parts[part] = VEC4(largest, total, 0.0f, 0.0f);
    } else {
      uint i = first + 4u * LANE;
      uint left = p.dim - 4u * LANE;
      sum /= total;
      y[i] = sum.x;
      if (left > 1u) y[i + 1u] = sum.y;
      if (left > 2u) y[i + 2u] = sum.z;
      if (left > 3u) y[i + 3u] = sum.w;
    }
  }
}
END
