// Second step: the k-th largest of the chunks' largest logits, which the k-th largest logit is not below. One
// group finds it, eight bits at a time, by counting how often each value of them occurs.
#include "dialect.h"

PARAMS(uint chunks; uint k;)
KERNEL(top_k_bound,
  READS(0, uint, largest)
  WRITES(1, uint, found))
LOCALS(LOCAL(uint, counts, 256) LOCAL(uint, chosen, 2))
BODY {
  uint bound = 0u;
  uint left = p.k;
  for (uint shift = 24u; shift < 32u; shift -= 8u) {
    for (uint i = LANE; i < 256u; i += GROUP) counts[i] = 0u;
    BARRIER();
    for (uint i = LANE; i < p.chunks; i += GROUP) {
      uint order = largest[i];
      if (shift == 24u || order >> (shift + 8u) == bound >> (shift + 8u)) {
        LOCAL_ATOMIC_ADD(counts[order >> shift & 255u], 1u);
      }
    }
    BARRIER();
    for (uint digit = LANE; digit < 256u; digit += GROUP) {
      uint above = 0u;
      for (uint i = 1u; i < 256u; ++i) above += digit + i < 256u ? counts[digit + i] : 0u;
      if (above < left && (digit == 0u || above + counts[digit] >= left)) {
        chosen[0] = digit;
        chosen[1] = above;
      }
    }
    BARRIER();
    bound |= chosen[0] << shift;
    left -= chosen[1];
    BARRIER();
  }
  if (LANE == 0u) {
    found[0] = bound;
    found[1] = 0u;
  }
}
END
