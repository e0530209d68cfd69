// Rotates queries in place and keys on their way into the cache, and puts values there too (kv_cache.h); a
// group a head of a token: query heads, key heads, value heads.
#include "dialect.h"
#include "numbers.h"

CONSTANT(1, D4, 32)
PARAMS(uint slot; uint query_heads; uint heads; uint dim; uint page_tokens; uint page_shift; uint values_first;)
#include "kv_cache.h"
KERNEL(append_kv,
  WRITES(0, float, q)
  READS(1, float, k)
  READS(2, float, v)
  READS(3, float, cosines)
  READS(4, float, sines)
  READS(5, uint, step)
  WRITES(6, unit_t, cache)
  WRITES(7, float, cache_scales))
LOCALS(LOCAL(float, row, D4 * 4u) LOCAL(float, scratch, GROUP))
BODY {
  uint kind = GROUP_X < p.query_heads ? 0u : GROUP_X < p.query_heads + p.heads ? 1u : 2u;
  uint head = GROUP_X - (kind == 0u ? 0u : kind == 1u ? p.query_heads : p.query_heads + p.heads);
  uint first = (GROUP_Y * (kind == 0u ? p.query_heads : p.heads) + head) * p.dim;
  uint token = ROW_TOKEN(GROUP_Y);
  uint page = PAGE_OF(ROW_PAGES(GROUP_Y), token);
  uint in_page = IN_PAGE(token);
  uint pairs = p.dim / 2u;
  for (uint i = LANE; i < D4 * 4u; i += GROUP) {
    float value = 0.0f;
    if (i < p.dim) {
      value = kind == 0u ? q[first + i] : kind == 1u ? k[first + i] : v[first + i];
      if (kind < 2u) {
        uint other = i < pairs ? i + pairs : i - pairs;
        uint angle = token * pairs + (i < pairs ? i : other);
        float partner = kind == 0u ? q[first + other] : k[first + other];
        value = i < pairs ? value * cosines[angle] - partner * sines[angle]
                          : value * cosines[angle] + partner * sines[angle];
      }
    }
    row[i] = value;
  }
  BARRIER();
  float scale = 1.0f;
#if TYPE == 2
  float largest = 1e-5f;
  for (uint i = LANE; i < D4 * 4u; i += GROUP) largest = LARGER(fabs(row[i]), largest);
  GROUP_MAX(largest, scratch)
  scale = 127.0f / largest;
  if (LANE == 0u && kind > 0u) {
    cache_scales[SCALE_PLACE(page, kind - 1u, head, in_page)] = 1.0f / scale;
  }
#endif
  if (kind == 0u) {
    for (uint i = LANE; i < p.dim; i += GROUP) q[first + i] = row[i];
  } else {
    for (uint d = LANE; d < D4; d += GROUP) {
      uint place = kind == 1u ? KEY_PLACE(page, head, d, in_page) : VALUE_PLACE(page, head, d, in_page);
      cache[place] =
          UNIT_OF(row[4u * d] * scale, row[4u * d + 1u] * scale, row[4u * d + 2u] * scale, row[4u * d + 3u] * scale);
    }
  }
}
END
