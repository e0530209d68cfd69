// Float masters for a matrix of which only codes and scale are known, so that it can be stored where readers
// quantize at every use (`quantization_mode: online`). code * scale would not do: its mean magnitude is the
// scale times the share of codes that are not 0, and the scale would shrink by that share.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace rotor {

/// Masters that the absmean quantizer (quantize.h) takes back to the same codes and, in all but few cases,
/// the same scale: magnitudes a or the next larger bfloat16 where the code is not 0, and among the zeros some
/// small values that make up what is missing of the mean. Every master is a bfloat16.
class AbsmeanMasters {
 public:
  /// `nonzero` of `count` codes are not 0; `scale` as in weight = code * scale. Throws Error for a scale
  /// below 1e-5, the smallest that the quantizer gives. A matrix of zeros stays zeros.
  AbsmeanMasters(size_t nonzero, size_t count, float scale);

  /// The scale that they give back: `scale`, or where no 1 / s (s a float32) equals that, a neighbour.
  float scale() const { return scale_; }

  /// Masters of codes that come behind `nonzero_before` codes that are not 0 and `zeros_before` that are.
  void fill(std::span<const int8_t> codes, size_t nonzero_before, size_t zeros_before,
            std::span<float> masters) const;

 private:
  float scale_;
  float magnitude_ = 0.0F;  // of codes that are not 0,
  float larger_ = 0.0F;     // and of the first `num_larger_` of them
  size_t num_larger_ = 0;
  float fill_ = 0.0F;  // the first `num_fill_` zeros,
  size_t num_fill_ = 0;
  std::array<float, 2> rest_{};  // and the two behind them
};

}  // namespace rotor
