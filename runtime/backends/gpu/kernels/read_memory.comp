// Reads a buffer of vectors once, as a measure of the memory's speed; a group writes one word.
#include "dialect.h"

PARAMS(uint vectors;)
KERNEL(read_memory,
  READS(0, uvec4, source)
  WRITES(1, uint, y))
LOCALS(LOCAL(uint, scratch, GROUP))
BODY {
  uvec4 sum = UVEC4(0u, 0u, 0u, 0u);
  for (uint i = GROUP_X * GROUP + LANE; i < p.vectors; i += GROUPS_X * GROUP) sum ^= source[i];
  uint folded = sum.x ^ sum.y ^ sum.z ^ sum.w;
  scratch[LANE] = folded;
  BARRIER();
  if (LANE == 0u) {
    for (uint i = 1u; i < GROUP; ++i) folded ^= scratch[i];
    y[GROUP_X] = folded;
  }
}
END
