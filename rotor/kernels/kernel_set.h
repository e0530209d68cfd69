// What a CPU kernel set implements. One file a set (scalar.cpp, avx2.cpp, ...), registered on one line in
// kernels.cpp. This header is read under every set's own compiler flags, so it holds declarations only: an
// inline function here could be linked from a file compiled for a newer processor.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rotor::kernels {

/// Tokens of a block that matmul_int8 takes together.
inline constexpr size_t kTokenBlock = 8;

/// Pointers are never null unless a size is 0, and need no alignment. Sums of integers are exact and equal in
/// every set; float results are equal too, since each says its order of operations. Products and sums are
/// rounded each by itself unless "fused" is said. "Folded": partial sums 0..n-1 become 0..n/2-1 by adding
/// number i + n/2 to number i, until one is left.
struct KernelSet {
  const char* name;
  /// Whether this processor and operating system can run it.
  bool (*supported)();

  /// Absmax int8 quantizer of one token (core/quantize.h). Returns the scale. Values are finite.
  float (*quantize_int8)(const float* values, size_t count, int8_t* codes);
  /// Absmax int16 quantizer, for dense matrices in int8: codes = round half to even(x * (32767 / max|x|)).
  /// Returns what gives values back, max|x| / 32767; 0, and codes of 0, if max|x| is below 1e-30.
  float (*quantize_int16)(const float* values, size_t count, int16_t* codes);

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
  /// x: [32 * column_tiles], zeros past the matrix's columns. sums: [16 * row_tiles]. At most 2^19 columns.
  void (*matvec_int8)(const uint8_t* tiles, size_t row_tiles, size_t column_tiles, const int8_t* x,
                      int32_t* sums);

  /// Vectors of `batch` tokens, x [batch, 32 * column_tiles], as matmul_int8 wants them: blocks of
  /// kTokenBlock tokens, each [8 * column_tiles][kTokenBlock][4]: four columns of one token, then of the
  /// next; tokens past the last are zeros. token_sums [batch]: the sum of each token's values.
  void (*arrange_tokens)(const int8_t* x, size_t column_tiles, size_t batch, int8_t* blocks,
                         int32_t* token_sums);
  /// matvec_int8 for `batch` arranged vectors: sums [batch, 16 * row_tiles].
  void (*matmul_int8)(const uint8_t* tiles, size_t row_tiles, size_t column_tiles, const int8_t* blocks,
                      const int32_t* token_sums, size_t batch, int32_t* sums);
  /// y[i] = float(sums[i]) * factor, or with `add` y[i] + float(sums[i]) * factor.
  void (*scale_sums)(const int32_t* sums, size_t count, float factor, bool add, float* y);

  /// Matrix of tiles times ternary vector, by popcounts. x planes: [column_tiles] words each. sums: [16 *
  /// row_tiles].
  void (*matvec_ternary)(const uint8_t* tiles, size_t row_tiles, size_t column_tiles, const uint32_t* x_plus,
                         const uint32_t* x_minus, int32_t* sums);

  /// Float matrix [rows, cols] times vector. Element c of a row goes to partial sum c % 64 by a fused
  /// multiply-add; partial sums are folded.
  void (*matvec_float)(const float* matrix, size_t rows, size_t cols, const float* x, float* y);
  /// The same for a matrix in binary16.
  void (*matvec_f16)(const uint16_t* matrix, size_t rows, size_t cols, const float* x, float* y);
  /// Rows of a matrix in int8 times int16 vector: y[i] = float(sum_c codes[r, c] * x[c]) * (row_scales[r] *
  /// x_scale), the sum exact; r is ids[i], or i if `ids` is null.
  void (*matvec_q8)(const int8_t* codes, const float* row_scales, const int32_t* ids, size_t rows,
                    size_t cols, const int16_t* x, float x_scale, float* y);

  /// y[c] = sum_r weights[r] * matrix[r, c], rows in order, by fused multiply-adds, from 0 or with `add` from
  /// what y holds. `y` overlaps nothing.
  void (*weighted_sum_float)(const float* matrix, size_t rows, size_t cols, const float* weights, bool add,
                             float* y);
  /// The same for binary16, and for int8 with weights[r] * row_scales[r] in place of weights[r].
  void (*weighted_sum_f16)(const uint16_t* matrix, size_t rows, size_t cols, const float* weights, bool add,
                           float* y);
  void (*weighted_sum_q8)(const int8_t* codes, const float* row_scales, size_t rows, size_t cols,
                          const float* weights, bool add, float* y);

  /// y[i] = x[i] * (1 / sqrt(mean(x^2) + eps)) * gain[i]. Squares are summed in double: number i in partial
  /// sum i % 16, folded; the mean is rounded to float. y may be x.
  void (*rms_norm)(const float* x, size_t count, const float* gain, float eps, float* y);
  /// Scores to weights that sum to 1: exp(scale * x - max), by the steps of softmax_exp in scalar.cpp, over
  /// their sum, which is taken in double as in rms_norm; the quotient 1 / sum is rounded to float. count > 0.
  void (*softmax)(float* scores, size_t count, float scale);
  /// y = max(gate, 0)^2 * up, element by element. y may be gate or up.
  void (*gate_relu2)(const float* gate, const float* up, size_t count, float* y);
  /// Sum of `count` words, modulo 2^64: reads memory as fast as it can be read, to measure that.
  uint64_t (*sum_words)(const uint64_t* words, size_t count);
  /// Rounded to binary16, half to even (core/dense.h).
  void (*to_f16)(const float* values, size_t count, uint16_t* halves);
  void (*from_f16)(const uint16_t* halves, size_t count, float* values);
};

}  // namespace rotor::kernels
