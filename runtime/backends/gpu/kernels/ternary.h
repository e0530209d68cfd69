// Ternary weights: tiles of 16 rows by 32 columns, 16 words of the plus plane, then 16 of the minus plane
// (core/tiles.h), and what they are multiplied with. A work item computes ROWS neighbouring rows: rows_t
// holds a plane's words of them.
//
// DOT=1: four int8 products an instruction; activations are words of four codes, 8 a tile.
// DOT=0: two products a multiplication. Weights c0 + c1 * 2^16 times activations x1 + x0 * 2^16 give
// c0*x1 + (c0*x0 + c1*x1) * 2^16: the sum that is wanted lies in the upper half, and the lower half, which is
// small, is rounded away at the end of a tile. Activations are 16 words a tile.

#if ROWS == 1
#define rows_t uint
#define sums_t int
#define ROWS_OF(v) (v)
#define AS_SUMS(v) INT(v)
#define STORE_ROWS(array, place, v) array[place] = v;
#elif ROWS == 4
#define rows_t uvec4
#define sums_t ivec4
#define ROWS_OF(v) UVEC4(v, v, v, v)
#define AS_SUMS(v) TO_INTS(v)
#define STORE_ROWS(array, place, v) \
  array[place] = v.x;               \
  array[place + 1u] = v.y;          \
  array[place + 2u] = v.z;          \
  array[place + 3u] = v.w;
#else  // OpenCL C only
#define rows_t uint16
#define sums_t int16
#define ROWS_OF(v) ((uint16)(v))
#define AS_SUMS(v) as_int16(v)
#define STORE_ROWS(array, place, v) vstore16(v, 0, &array[place]);
#endif

// Fields of two bits, value + 1: those of the even columns' bits and of the odd ones' of a byte.
#define ITEMS (16u / ROWS)  // work items that compute the rows of a tile
#define EVEN_FIELDS(plus, minus) (((plus) & 0x55555555u) + (~(minus) & 0x55555555u))
#define ODD_FIELDS(plus, minus) ((((plus) >> 1u) & 0x55555555u) + ((~(minus) >> 1u) & 0x55555555u))

// MULTIPLY_TILE: sums += (value + 1) * x over a tile's columns, given the fields of the planes' words; x: the
// vectors x[first], x[first + 1], ... of activations.
#if DOT
#define TILE_VECTORS 2u
#ifdef __OPENCL_VERSION__
#pragma OPENCL EXTENSION cl_khr_integer_dot_product : enable
#define DOT4(a, b, sum) (dot_4x8packed_ss_int(a, b) + (sum))
#else
#extension GL_EXT_spirv_intrinsics : require
spirv_instruction(extensions = ["SPV_KHR_integer_dot_product"], capabilities = [6018, 6019], id = 4450)
int signed_dot(uint a, uint b, spirv_literal int packed_format);
#define DOT4(a, b, sum) (signed_dot(a, b, 0) + (sum))
#endif
#if ROWS == 1
#define DOT_ROWS(weights, codes, sums) sums = DOT4(weights, codes, sums);
#else
#define DOT_ROWS(weights, codes, sums)       \
  sums.x = DOT4((weights).x, codes, sums.x); \
  sums.y = DOT4((weights).y, codes, sums.y); \
  sums.z = DOT4((weights).z, codes, sums.z); \
  sums.w = DOT4((weights).w, codes, sums.w);
#endif
#define FOUR_PLACES(even, odd, bit, codes, sums)                   \
  DOT_ROWS((even >> bit) & 0x03030303u, (codes).x, sums)           \
  DOT_ROWS((odd >> bit) & 0x03030303u, (codes).y, sums)            \
  DOT_ROWS((even >> (bit + 2u)) & 0x03030303u, (codes).z, sums)    \
  DOT_ROWS((odd >> (bit + 2u)) & 0x03030303u, (codes).w, sums)
#define MULTIPLY_TILE(even, odd, x, first, sums)    \
  FOUR_PLACES(even, odd, 0u, x[first], sums)        \
  FOUR_PLACES(even, odd, 4u, x[(first) + 1u], sums)
#else
#define TILE_VECTORS 4u
#define TWO_PLACES(even, odd, bit, codes, tile_sums)             \
  tile_sums += ((even >> bit) & 0x00030003u) * (codes).x;        \
  tile_sums += ((even >> (bit + 8u)) & 0x00030003u) * (codes).y; \
  tile_sums += ((odd >> bit) & 0x00030003u) * (codes).z;         \
  tile_sums += ((odd >> (bit + 8u)) & 0x00030003u) * (codes).w;
// The upper halves of `tile_sums`; the lower ones lie between -2^15 and 2^15.
#define UPPER_HALVES(tile_sums) (AS_SUMS((tile_sums) + 0x8000u) >> 16u)
#define MULTIPLY_TILE(even, odd, x, first, sums)           \
  {                                                        \
    rows_t tile_sums = ROWS_OF(0u);                        \
    TWO_PLACES(even, odd, 0u, x[first], tile_sums)         \
    TWO_PLACES(even, odd, 2u, x[(first) + 1u], tile_sums)  \
    TWO_PLACES(even, odd, 4u, x[(first) + 2u], tile_sums)  \
    TWO_PLACES(even, odd, 6u, x[(first) + 3u], tile_sums)  \
    sums += UPPER_HALVES(tile_sums);                       \
  }
#endif
