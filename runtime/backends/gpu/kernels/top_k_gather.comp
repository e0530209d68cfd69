// Third step: ids and logits of all that are not below the bound, and the logits of ids that are wanted in
// any case. found: bound, how many were found (more than `room` if they did not fit), then `room` ids, then
// their logits, then those of the wanted ids.
#include "dialect.h"
#include "top_k.h"

PARAMS(uint count; uint room; uint ids_first; uint ids;)
KERNEL(top_k_gather,
  READS(0, float, logits)
  READS(1, uint, step)
  WRITES(2, uint, found))
NO_LOCALS
BODY {
  uint bound = found[0];
  for (uint id = GROUP_X * GROUP + LANE; id < p.count; id += GROUPS_X * GROUP) {
    if (order_of(logits[id]) >= bound) {
      uint place = ATOMIC_ADD(found[1], 1u);
      if (place < p.room) {
        found[2u + place] = id;
        found[2u + p.room + place] = AS_UINT(logits[id]);
      }
    }
  }
  for (uint i = GROUP_X * GROUP + LANE; i < p.ids; i += GROUPS_X * GROUP) {
    found[2u + 2u * p.room + i] = AS_UINT(logits[step[p.ids_first + i]]);
  }
}
END
