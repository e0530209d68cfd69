// Logits as integers in the same order; NaN is the largest, so that it is noticed.
uint order_of(float logit) {
  uint bits = AS_UINT(logit);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0xffffffffu;
  return (bits & 0x80000000u) != 0u ? ~bits : bits | 0x80000000u;
}
