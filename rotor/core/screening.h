// A low-bit copy of a head, which says which of its rows can hold the largest logits, so that only those are
// read. Rows and input are rotated by one fixed random rotation; a rotated row becomes ternary values t and a
// factor a with a * t . x an unbiased estimate of the row's logit, whose error is spread like a normal
// distribution whatever the weights and the input look like. Source: the estimator of RaBitQ (Gao and Long
// 2024, arXiv:2405.12497, section 3) with ternary instead of binary codes; the rotation by random signs and
// Hadamard transforms is that of Ailon and Chazelle 2009 (SIAM J. Comput. 39).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace rotor {

/// Values that the rotation mixes: the largest power of two that divides `size`, at most 1024. Neighbouring
/// blocks of that many are rotated each by itself.
size_t rotation_block(size_t size);

/// Rotates in place: values[i] *= sign(i); each block becomes its Walsh-Hadamard transform over sqrt(block).
/// Lengths and scalar products stay. sign(i) = -1 where bit i % 64 of number i / 64 of SplitMix64, seeded
/// with 0, is 1 (number 0 is its first output).
void rotate(std::span<float> values);

/// What belongs to the ternary values of a row.
struct ScreeningRow {
  float scale = 0.0F;  ///< a: logit ~ scale * (t . x)
  float error = 0.0F;  ///< the estimate's standard deviation for an input of length 1
};

/// Ternary values of a rotated row w: +-1 where |w| > 0.6 * sqrt(mean(w^2)), close to the best threshold for
/// values of a normal distribution; scale = |w|^2 / (w . t), so that w - scale * t is orthogonal to w.
/// A row of zeros gives zeros. `trits`: as many as `rotated`.
ScreeningRow screen_row(std::span<const float> rotated, std::span<int8_t> trits);

}  // namespace rotor
