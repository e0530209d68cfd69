// Activation functions by number (Activation in core/model_config.h): relu 0, relu2 1, sign 2, silu 3.

// e^x for x <= 0, 0 below -87: 2^n * e^r by its series to r^6, as the CPU kernels compute it.
float exp_below_zero(float v) {
  if (!(v >= -87.0f)) return 0.0f;
  float n = ROUND_EVEN(v * 1.44269504f);
  float r = (v - n * 0.693359375f) + n * 2.12194440e-4f;
  float series = 1.0f / 720.0f;
  series = series * r + 1.0f / 120.0f;
  series = series * r + 1.0f / 24.0f;
  series = series * r + 1.0f / 6.0f;
  series = series * r + 0.5f;
  series = series * r + 1.0f;
  series = series * r + 1.0f;
  return series * AS_FLOAT(UINT(INT(n) + 127) << 23u);
}

float activate(float v, uint kind, float threshold) {
  if (kind == 0u) return fmax(v, 0.0f);
  if (kind == 1u) return fmax(v, 0.0f) * fmax(v, 0.0f);
  if (kind == 2u) return v > threshold ? 1.0f : v < -threshold ? -1.0f : 0.0f;
  float e = exp_below_zero(-fabs(v));
  return v >= 0.0f ? v / (1.0f + e) : v * e / (1.0f + e);
}
