// y = kind(x), times `up` if gated; a work item a value.
#include "dialect.h"
#include "activations.h"

PARAMS(uint count; uint kind; float threshold; uint gated;)
KERNEL(activation,
  READS(0, float, x)
  READS(1, float, up)
  WRITES(2, float, y))
NO_LOCALS
BODY {
  for (uint i = GROUP_X * GROUP + LANE; i < p.count; i += GROUPS_X * GROUP) {
    float v = activate(x[i], p.kind, p.threshold);
    y[i] = p.gated != 0u ? v * up[i] : v;
  }
}
END
