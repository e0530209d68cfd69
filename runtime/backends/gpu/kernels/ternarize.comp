// Activations as planes: plus where x > threshold, minus where x < -threshold; a work item a word of 32
// columns, whose column 4b + j is bit 8j + b.
#include "dialect.h"

PARAMS(uint cols; uint words; uint all_words; float threshold;)
KERNEL(ternarize,
  READS(0, float, x)
  WRITES(1, uint, planes))
NO_LOCALS
BODY {
  uint word = GROUP_X * GROUP + LANE;
  if (word < p.all_words) {
    uint first = word % p.words * 32u;
    uint x_first = word / p.words * p.cols + first;
    uint plus = 0u;
    uint minus = 0u;
    for (uint c = 0u; c < 32u && first + c < p.cols; ++c) {
      uint bit = 8u * (c & 3u) + (c >> 2u);
      if (x[x_first + c] > p.threshold) plus |= 1u << bit;
      if (x[x_first + c] < -p.threshold) minus |= 1u << bit;
    }
    planes[2u * word] = plus;
    planes[2u * word + 1u] = minus;
  }
}
END
