// y[i] = row ids[i] of a table of which rows first .. first + rows - 1 are here; a group a token.
#include "dialect.h"
#include "numbers.h"

PARAMS(uint ids_first; uint first; uint rows; uint cols;)
KERNEL(embed,
  READS(0, uvec4, table)
  READS(1, float, row_scales)
  READS(2, uint, ids)
  WRITES(3, float, y))
NO_LOCALS
BODY {
  uint id = ids[p.ids_first + GROUP_X];
  if (id >= p.first && id - p.first < p.rows) {
    uint row = id - p.first;
    for (uint c = LANE; c < p.cols; c += GROUP) {
      float value = NUMBER_AT(table, row * p.cols + c);
#if TYPE == 2
      value *= row_scales[id];
#endif
      y[GROUP_X * p.cols + c] = value;
    }
  }
}
END
