// Rotates each head of x in place by its token's position; a work item a pair.
#include "dialect.h"

PARAMS(uint slot; uint heads; uint pairs; uint count;)
KERNEL(rope,
  WRITES(0, float, x)
  READS(1, float, cosines)
  READS(2, float, sines)
  READS(3, uint, step))
NO_LOCALS
BODY {
  for (uint i = GROUP_X * GROUP + LANE; i < p.count; i += GROUPS_X * GROUP) {
    uint pair = i % p.pairs;
    uint angle = (step[p.slot] + i / (p.pairs * p.heads)) * p.pairs + pair;
    uint place = i / p.pairs * 2u * p.pairs + pair;
    float a = x[place];
    float b = x[place + p.pairs];
    x[place] = a * cosines[angle] - b * sines[angle];
    x[place + p.pairs] = b * cosines[angle] + a * sines[angle];
  }
}
END
