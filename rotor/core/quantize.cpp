// The quantizers, plainly. Rounding is half to even: the default rounding mode of nearbyint.
#include "rotor/core/quantize.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>

#include "rotor/core/clones.h"
#include "rotor/core/dense.h"
#include "rotor/core/error.h"

namespace rotor {
namespace {

/// Throws for the first weight that is not finite. Called only when a sum of magnitudes is not: the usual
/// case is free.
[[noreturn]] void fail_not_finite(std::span<const float> weights) {
  const size_t at = find_not_finite(weights);
  throw NotFiniteError(
      cat("weight ", at, " of ", weights.size(), ": expected a finite number, found ", weights[at]));
}

}  // namespace

void MeanAbs::add(std::span<const float> weights) {
  constexpr size_t kLanes = 16;
  const size_t whole = weights.size() / kLanes * kLanes;
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane)
      sums_[lane] += static_cast<double>(std::fabs(weights[i + lane]));
  }
  for (size_t i = whole; i < weights.size(); ++i)
    sums_[i - whole] += static_cast<double>(std::fabs(weights[i]));
  count_ += weights.size();
  const bool finite = std::all_of(sums_.begin(), sums_.end(), [](double sum) { return std::isfinite(sum); });
  if (!finite) fail_not_finite(weights);
}

double MeanAbs::mean() const {
  std::array<double, 16> sums = sums_;
  for (size_t width = sums.size() / 2; width > 0; width /= 2) {
    for (size_t lane = 0; lane < width; ++lane) sums[lane] += sums[lane + width];
  }
  return count_ == 0 ? 0.0 : sums[0] / static_cast<double>(count_);
}

double mean_abs(std::span<const float> weights) {
  MeanAbs all;
  all.add(weights);
  return all.mean();
}

TernaryScale absmean_scale(double mean_abs) {
  const float inverse_scale = 1.0F / std::max(static_cast<float>(mean_abs), kQuantizerEpsilon);
  return {inverse_scale, 1.0F / inverse_scale};
}

namespace {

/// round_half_to_even(v) clamped to -1..1 is a comparison: exactly 0.5 rounds to 0, anything above it to 1 or
/// more.
template <class Code>
void round_absmean_to(std::span<const float> weights, float inverse_scale, std::span<Code> codes) {
  assert(codes.size() == weights.size());
  for (size_t i = 0; i < weights.size(); ++i) {
    const float scaled = weights[i] * inverse_scale;
    codes[i] = static_cast<Code>((scaled > 0.5F) - (scaled < -0.5F));
  }
}

template <class Code>
TernaryScale quantize_absmean_to(std::span<const float> weights, std::span<Code> codes) {
  const TernaryScale scale = absmean_scale(mean_abs(weights));
  round_absmean_to(weights, scale.inverse_scale, codes);
  return scale;
}

}  // namespace

void round_absmean(std::span<const float> weights, float inverse_scale, std::span<int8_t> codes) {
  round_absmean_to(weights, inverse_scale, codes);
}

TernaryScale quantize_absmean(std::span<const float> weights, std::span<int8_t> codes) {
  return quantize_absmean_to(weights, codes);
}

TernaryScale quantize_absmean(std::span<const float> weights, std::span<float> codes) {
  return quantize_absmean_to(weights, codes);
}

ThresholdScale quantize_threshold(std::span<const float> weights, float threshold, std::span<int8_t> codes) {
  assert(codes.size() == weights.size());
  if (!(threshold >= 0.0F) || !std::isfinite(threshold)) {
    fail("threshold of a ternary quantizer: expected a finite number of at least 0, found ", threshold);
  }
  double sum = 0.0;
  size_t count = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (!std::isfinite(weights[i])) fail_not_finite(weights);
    codes[i] = static_cast<int8_t>((weights[i] > threshold) - (weights[i] < -threshold));
    if (codes[i] != 0) {
      sum += static_cast<double>(std::fabs(weights[i]));
      ++count;
    }
  }
  return {threshold, count == 0 ? 0.0F : static_cast<float>(sum / static_cast<double>(count))};
}

float default_threshold(std::span<const float> weights) {
  return static_cast<float>(0.7 * mean_abs(weights));
}

ROTOR_CLONES float quantize_int8(std::span<const float> values, std::span<int8_t> codes) {
  assert(codes.size() == values.size());
  constexpr size_t kLanes = 16;  // computed side by side; the largest is the same in any order
  std::array<float, kLanes> lanes;
  lanes.fill(kQuantizerEpsilon);
  const size_t whole = values.size() / kLanes * kLanes;
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane)
      lanes[lane] = std::max(lanes[lane], std::fabs(values[i + lane]));
  }
  for (size_t i = whole; i < values.size(); ++i) lanes[0] = std::max(lanes[0], std::fabs(values[i]));
  const float scale = 127.0F / *std::max_element(lanes.begin(), lanes.end());
  // Adding and subtracting 1.5 * 2^23 rounds half to even, as nearbyint does, for magnitudes below 2^22.
  constexpr float kRounder = 0x1.8p23F;
  for (size_t i = 0; i < values.size(); ++i) {
    const float rounded = values[i] * scale + kRounder - kRounder;
    const float code = std::clamp(rounded, -128.0F, 127.0F);
    codes[i] = static_cast<int8_t>(static_cast<int>(rounded == rounded ? code : 0.0F));
  }
  return scale;
}

void ternarize(std::span<const float> values, float threshold, std::span<int8_t> codes) {
  assert(codes.size() == values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    codes[i] = static_cast<int8_t>((values[i] > threshold) - (values[i] < -threshold));
  }
}

}  // namespace rotor
