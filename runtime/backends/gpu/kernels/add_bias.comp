// y[t, c] += bias[c]; a work item a value.
#include "dialect.h"

PARAMS(uint count; uint cols;)
KERNEL(add_bias,
  READS(0, float, bias)
  WRITES(1, float, y))
NO_LOCALS
BODY {
  for (uint i = GROUP_X * GROUP + LANE; i < p.count; i += GROUPS_X * GROUP) y[i] += bias[i % p.cols];
}
END
