// A low-bit copy of a head, which says which of its rows can hold the largest logits, so that only those are
// read. For row w and input x the logit is m . x + v . u with m the mean row, v = (w - m) / s and u = x * s,
// s the spread of each column: what all rows share, and channels that are large in x and small in w, weigh no
// more than their part in the differences between logits. v and u are turned by one fixed random rotation; v
// becomes ternary values t and a factor a with a * t . u an unbiased estimate of v . u, whose error is spread
// like a normal distribution whatever the weights look like. Source: the estimator of RaBitQ (Gao and Long
// 2024, arXiv:2405.12497, section 3) with ternary instead of binary codes; the rotation by random signs and
// Hadamard transforms is that of Ailon and Chazelle 2009 (SIAM J. Comput. 39).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace rotor {

/// Rotates in place: signs are flipped and the first P values become their Walsh-Hadamard transform over
/// sqrt(P), P the largest power of two that is not above their number; where that leaves some out, signs are
/// flipped again and the last P values are transformed likewise. Lengths and scalar products stay. The sign
/// of value i is flipped where bit i % 64 of number i / 64 of SplitMix64, seeded with 0, is 1 (number 0 is
/// its first output); the second time the numbers begin behind those of the first.
void rotate(std::span<float> values);

/// Of each column of a head: mean and standard deviation over the rows.
struct ScreeningColumns {
  std::vector<float> mean;
  std::vector<float> spread;
  std::vector<float> inverse_spread;  ///< 0 where the spread is
};
/// Sums over rows from which the columns' figures follow; sums of pieces are added up.
class ScreeningSums {
 public:
  explicit ScreeningSums(size_t cols) : sums_(cols), squares_(cols) {}
  /// Rows of a head in int8: `codes` [rows, cols], `scales` [rows], value = code * scale.
  void add(std::span<const int8_t> codes, std::span<const float> scales);
  void add(const ScreeningSums& other);
  ScreeningColumns columns() const;

 private:
  size_t rows_ = 0;
  std::vector<double> sums_;
  std::vector<double> squares_;
};

/// What belongs to the ternary values of a row.
struct ScreeningRow {
  float scale = 0.0F;  ///< a: v . u ~ scale * (t . u)
  float error = 0.0F;  ///< the estimate's standard deviation for u of length 1
};

/// Ternary values of row v, given by its codes and their scale: +-1 where |v| > 0.6 * sqrt(mean(v^2)), close
/// to the best threshold for values of a normal distribution; scale = |v|^2 / (v . t), so that v - scale * t
/// is orthogonal to v. Columns without spread, and a row that is the mean row, give zeros. `trits`: as many
/// as `codes`, which it may be.
ScreeningRow screen_row(std::span<const int8_t> codes, float scale, const ScreeningColumns& columns,
                        std::span<int8_t> trits);

/// u of an input, rotated, into `turned`; returns m . x. All of one size.
float screening_input(std::span<const float> x, std::span<const float> mean, std::span<const float> spread,
                      std::span<float> turned);

}  // namespace rotor
