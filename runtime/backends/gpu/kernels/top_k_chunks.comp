// First of three steps to the largest of many logits: the largest of each chunk. A work item a chunk: every
// GROUP-th of the logits of its group.
#include "dialect.h"
#include "top_k.h"

PARAMS(uint count; uint chunk;)
KERNEL(top_k_chunks,
  READS(0, float, logits)
  WRITES(1, uint, largest))
NO_LOCALS
BODY {
  uint first = GROUP_X * GROUP * p.chunk + LANE;
  uint found = 0u;
  for (uint i = 0u; i < p.chunk; ++i) {
    uint id = first + i * GROUP;
    if (id < p.count) {
      uint order = order_of(logits[id]);
      found = LARGER(order, found);
    }
  }
  largest[GROUP_X * GROUP + LANE] = found;
}
END
