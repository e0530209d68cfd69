// The cache of a layer, in units of four dimensions of one token: keys [head][unit][token], so that work
// items which share out tokens read neighbours, then from values_first on values [head][token][unit], so that
// those which share out dimensions do. D4 units a head, the last one padded with zeros. int8 codes have a
// scale a token and head, keys' before values'.
#if TYPE == 0
#define unit_t uvec4
#define UNIT_VALUES(unit) VEC4(AS_FLOAT((unit).x), AS_FLOAT((unit).y), AS_FLOAT((unit).z), AS_FLOAT((unit).w))
#define UNIT_OF(a, b, c, d) UVEC4(AS_UINT(a), AS_UINT(b), AS_UINT(c), AS_UINT(d))
#elif TYPE == 1
#define unit_t uvec2
#define UNIT_VALUES(unit) TWO_WORDS((unit).x, (unit).y)
#define UNIT_OF(a, b, c, d) UVEC2(to_half(a) | to_half(b) << 16u, to_half(c) | to_half(d) << 16u)
#else
#define unit_t uint
#define UNIT_VALUES(unit) unpack_codes(unit)
#define CODE(v) (UINT(INT(fmax(-128.0f, fmin(127.0f, ROUND_EVEN(v))))) & 255u)
#define UNIT_OF(a, b, c, d) (CODE(a) | CODE(b) << 8u | CODE(c) << 16u | CODE(d) << 24u)
#endif
#define KEY_PLACE(head, unit, token) (((head) * D4 + (unit)) * p.capacity + (token))
#define VALUE_PLACE(head, unit, token) (p.values_first + ((head) * p.capacity + (token)) * D4 + (unit))
