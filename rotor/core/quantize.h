// The quantizers of BitNet b1.58, each written once and called by training on the CPU, export and runtime.
// Reference: transformers, integrations/bitnet.py (WeightQuant, ActQuant); golden vectors in
// tests/golden/primitives.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "rotor/core/error.h"

namespace rotor {

/// Smallest mean of magnitudes and smallest largest-magnitude that the quantizers divide by (the reference's
/// clamp).
inline constexpr float kQuantizerEpsilon = 1e-5F;

/// Thrown for weights that are NaN or infinite: in training a sign of divergence, not of bad input.
class NotFiniteError : public Error {
 public:
  using Error::Error;
};

/// mean(|w|) in double, in a fixed order (16 interleaved partial sums, added pairwise): equal on every
/// machine. 0 for no values.
double mean_abs(std::span<const float> weights);

/// mean_abs of weights that come in pieces, equal to that of all together if each piece but the last has a
/// multiple of 16 weights.
class MeanAbs {
 public:
  /// Throws NotFiniteError naming the position in the piece.
  void add(std::span<const float> weights);
  double mean() const;

 private:
  std::array<double, 16> sums_{};
  size_t count_ = 0;
};

/// Ternary codes with one scale: weight = code * scale.
struct TernaryScale {
  float inverse_scale;  ///< s = 1 / max(mean|w|, 1e-5), what weights are multiplied with before rounding
  float scale;          ///< 1 / s, what codes are multiplied with to give weights back
};

/// Absmean quantizer (BitNet b1.58, arXiv 2402.17764, eq. 1-3): codes = clamp(round_half_to_even(w * s), -1,
/// 1). `codes`: as many as `weights`. Throws NotFiniteError if a weight is NaN or infinite, naming its
/// position.
TernaryScale quantize_absmean(std::span<const float> weights, std::span<int8_t> codes);
/// The scales of quantize_absmean() for weights of that mean magnitude, and its codes: for weights that come
/// in pieces.
TernaryScale absmean_scale(double mean_abs);
void round_absmean(std::span<const float> weights, float inverse_scale, std::span<int8_t> codes);
/// The same, with codes -1.0, 0.0 and +1.0: what training multiplies with.
TernaryScale quantize_absmean(std::span<const float> weights, std::span<float> codes);

/// Threshold quantizer (ternary weight networks, arXiv 1605.04711): code = sign(w) where |w| > threshold,
/// else 0. scale = mean of |w| over the codes that are not 0 (0 if none). Throws Error for a weight that is
/// not finite and for a threshold that is negative or not finite.
struct ThresholdScale {
  float threshold;
  float scale;
};
ThresholdScale quantize_threshold(std::span<const float> weights, float threshold, std::span<int8_t> codes);

/// The threshold of arXiv 1605.04711: 0.7 * mean|w|.
float default_threshold(std::span<const float> weights);

/// Absmax int8 quantizer of one token: s = 127 / max(max|x|, 1e-5); codes = clamp(round_half_to_even(x * s),
/// -128, 127). Returns s: multiply by it to quantize, divide by it to go back. Values must be finite; a NaN
/// gives an unspecified code.
float quantize_int8(std::span<const float> values, std::span<int8_t> codes);

/// Ternary activation: +1 where x > threshold, -1 where x < -threshold, else 0 (0 for NaN).
void ternarize(std::span<const float> values, float threshold, std::span<int8_t> codes);

}  // namespace rotor
