// What a CPU kernel set implements. One file a set (scalar.cpp, avx2.cpp, ...), registered on one line in
// kernels.cpp. This header is read under every set's own compiler flags, so it holds declarations only: an
// inline function here could be linked from a file compiled for a newer processor.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rotor::kernels {

/// Pointers are never null unless a size is 0, and need no alignment. Sums of integers are exact and equal in
/// every set; float results are equal too, since each says its order of operations.
struct KernelSet {
  const char* name;
  /// Whether this processor and operating system can run it.
  bool (*supported)();

  /// Absmax int8 quantizer of one token (core/quantize.h). Returns the scale. Values are finite.
  float (*quantize_int8)(const float* values, size_t count, int8_t* codes);

  /// Ternary activation as planes: +1 where x > threshold, -1 where x < -threshold. plane_words(count) words
  /// each.
  void (*ternarize)(const float* values, size_t count, float threshold, uint32_t* plus, uint32_t* minus);

  /// Values of -1, 0, +1 to planes (core/planes.h). Returns false, and leaves the planes unspecified, for any
  /// other value.
  bool (*encode_trits)(const int8_t* values, size_t count, uint32_t* plus, uint32_t* minus);

  /// Planes to values. The pair (1,1) reads as 0.
  void (*decode_trits)(const uint32_t* plus, const uint32_t* minus, size_t count, int8_t* values);

  /// Sum of products of two ternary vectors of `words` plane words.
  int64_t (*dot_ternary)(const uint32_t* a_plus, const uint32_t* a_minus, const uint32_t* b_plus,
                         const uint32_t* b_minus, size_t words);

  /// Sum of products of a ternary vector and int8 values [32 * words].
  int64_t (*dot_int8)(const uint32_t* plus, const uint32_t* minus, const int8_t* values, size_t words);

  /// Matrix of tiles (core/tiles.h) times int8 vector: sums[r] = sum_c weight[r, c] * x[c].
  /// x: [32 * column_tiles], zeros past the matrix's columns. sums: [16 * row_tiles]. 128 * columns < 2^31.
  void (*matvec_int8)(const uint8_t* tiles, size_t row_tiles, size_t column_tiles, const int8_t* x,
                      int32_t* sums);

  /// The same for `batch` vectors: x [batch, 32 * column_tiles], sums [batch, 16 * row_tiles].
  void (*matmul_int8)(const uint8_t* tiles, size_t row_tiles, size_t column_tiles, const int8_t* x,
                      size_t batch, int32_t* sums);

  /// Matrix of tiles times ternary vector, by popcounts. x planes: [column_tiles] words each. sums: [16 *
  /// row_tiles].
  void (*matvec_ternary)(const uint8_t* tiles, size_t row_tiles, size_t column_tiles, const uint32_t* x_plus,
                         const uint32_t* x_minus, int32_t* sums);

  /// Float matrix [rows, cols] times vector. Element c of a row goes to partial sum c % 8; these are added
  /// pairwise
  /// ((0+4) + (2+6)) + ((1+5) + (3+7)).
  void (*matvec_float)(const float* matrix, size_t rows, size_t cols, const float* x, float* y);
  /// The same for a matrix in binary16, and for one in int8: y[r] = (sum_c codes[r, c] * x[c]) *
  /// row_scales[r].
  void (*matvec_f16)(const uint16_t* matrix, size_t rows, size_t cols, const float* x, float* y);
  void (*matvec_q8)(const int8_t* codes, const float* row_scales, size_t rows, size_t cols, const float* x,
                    float* y);

  /// y[c] = sum_r weights[r] * matrix[r, c], rows in order, from 0. `y` overlaps nothing.
  void (*weighted_sum_float)(const float* matrix, size_t rows, size_t cols, const float* weights, float* y);
  /// The same for binary16, and for int8 with weights[r] * row_scales[r] in place of weights[r].
  void (*weighted_sum_f16)(const uint16_t* matrix, size_t rows, size_t cols, const float* weights, float* y);
  void (*weighted_sum_q8)(const int8_t* codes, const float* row_scales, size_t rows, size_t cols,
                          const float* weights, float* y);
};

}  // namespace rotor::kernels
