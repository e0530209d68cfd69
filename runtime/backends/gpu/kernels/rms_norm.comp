// y = x / sqrt(mean(x^2) + eps) * gain; a group a row.
#include "dialect.h"

PARAMS(uint cols; float eps;)
KERNEL(rms_norm,
  READS(0, float, x)
  READS(1, float, gain)
  WRITES(2, float, y))
LOCALS(LOCAL(float, scratch, GROUP))
BODY {
  uint first = GROUP_X * p.cols;
  float sum = 0.0f;
  for (uint i = LANE; i < p.cols; i += GROUP) sum += x[first + i] * x[first + i];
  GROUP_SUM(sum, scratch)
  float inverse = 1.0f / sqrt(sum / FLOAT(p.cols) + p.eps);
  for (uint i = LANE; i < p.cols; i += GROUP) y[first + i] = x[first + i] * inverse * gain[i];
}
END
