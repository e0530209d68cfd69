// Dense numbers as they lie in files and caches, in words of 32 bits (core/dense.h): TYPE 0 float32, 1
// binary16, 2 int8 codes. No storage of 8 or 16 bits is needed of a device.

#ifdef __OPENCL_VERSION__
vec2 unpack_halves(uint word) { return vload_half2(0, (const __private half *)&word); }
vec4 unpack_codes(uint word) { return convert_float4(as_char4(word)); }
#else
vec2 unpack_halves(uint word) { return unpackHalf2x16(word); }
vec4 unpack_codes(uint word) {
  int v = int(word);
  return vec4(bitfieldExtract(v, 0, 8), bitfieldExtract(v, 8, 8), bitfieldExtract(v, 16, 8), v >> 24);
}
#endif

float code_at(uint word, uint byte) { return FLOAT(INT(word << (24u - 8u * byte)) >> 24); }
float half_at(uint word, uint half_index) {
  vec2 both = unpack_halves(word);
  return half_index == 0u ? both.x : both.y;
}

// The bits of the nearest binary16, halves to even, in the lower half of a word; infinity above 65504. GLSL
// leaves open how packHalf2x16 rounds.
uint to_half(float value) {
  uint bits = AS_UINT(value);
  uint sign = bits >> 16u & 0x8000u;
  bits &= 0x7fffffffu;
  if (bits > 0x7f800000u) return sign | 0x7e00u;
  if (bits >= 0x477ff000u) return sign | 0x7c00u;
  if (bits < 0x38800000u) {  // subnormal: float addition rounds at the right place
    return sign | (AS_UINT(AS_FLOAT(bits) + 0.5f) - 0x3f000000u);
  }
  return sign | ((bits - 0x38000000u + 0xfffu + (bits >> 13u & 1u)) >> 13u);
}

// A vector of 16 bytes times as many of x, four of which are x[first], ...: added to `sums`.
#if TYPE == 0
#define VALUES 4u
#define MULTIPLY_VECTOR(w, x, first, sums) \
  sums += VEC4(AS_FLOAT((w).x), AS_FLOAT((w).y), AS_FLOAT((w).z), AS_FLOAT((w).w)) * x[first];
#define NUMBER_AT(vectors, i) AS_FLOAT(WORD_AT(vectors, i))
#elif TYPE == 1
#define VALUES 8u
#define TWO_WORDS(a, b) VEC4(unpack_halves(a).x, unpack_halves(a).y, unpack_halves(b).x, unpack_halves(b).y)
#define MULTIPLY_VECTOR(w, x, first, sums) \
  sums += TWO_WORDS((w).x, (w).y) * x[first] + TWO_WORDS((w).z, (w).w) * x[(first) + 1u];
#define NUMBER_AT(vectors, i) half_at(WORD_AT(vectors, (i) / 2u), (i) % 2u)
#else
#define VALUES 16u
#define MULTIPLY_VECTOR(w, x, first, sums)                                                       \
  sums += unpack_codes((w).x) * x[first] + unpack_codes((w).y) * x[(first) + 1u] +               \
          unpack_codes((w).z) * x[(first) + 2u] + unpack_codes((w).w) * x[(first) + 3u];
#define NUMBER_AT(vectors, i) code_at(WORD_AT(vectors, (i) / 4u), (i) % 4u)
#endif
