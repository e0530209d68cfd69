// The stretches of attention.comp put together: each counts by its part of the softmax's sum. A group a query
// head of a token.
#include "dialect.h"
#include "activations.h"

CONSTANT(1, D4, 32)
PARAMS(uint query_heads; uint dim; uint stretches;)
KERNEL(attention_merge,
  READS(0, vec4, parts)
  WRITES(1, float, y))
NO_LOCALS
BODY {
  uint index = GROUP_Y * p.query_heads + GROUP_X;
  uint part = index * p.stretches * (D4 + 1u);
  float largest = -3e38f;
  for (uint s = 0u; s < p.stretches; ++s) largest = LARGER(parts[part + s * (D4 + 1u)].x, largest);
  float total = 0.0f;
  for (uint s = 0u; s < p.stretches; ++s) {
    vec4 head = parts[part + s * (D4 + 1u)];
    total += head.y * exp_below_zero(head.x - largest);
  }
  for (uint d = LANE; d < D4; d += GROUP) {
    vec4 sum = VEC4(0.0f, 0.0f, 0.0f, 0.0f);
    for (uint s = 0u; s < p.stretches; ++s) {
      uint place = part + s * (D4 + 1u);
      sum += parts[place + 1u + d] * exp_below_zero(parts[place].x - largest);
    }
    sum /= total;
    uint i = index * p.dim + 4u * d;
    uint left = p.dim - 4u * d;
    y[i] = sum.x;
    if (left > 1u) y[i + 1u] = sum.y;
    if (left > 2u) y[i + 2u] = sum.z;
    if (left > 3u) y[i + 3u] = sum.w;
  }
}
END
