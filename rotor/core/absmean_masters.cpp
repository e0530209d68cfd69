// The sum of magnitudes that the wanted mean asks for, paid out in bfloat16: first to the codes that are not
// 0, the change to zeros.
#include "rotor/core/absmean_masters.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "rotor/core/dense.h"
#include "rotor/core/error.h"
#include "rotor/core/quantize.h"

namespace rotor {
namespace {

/// The largest bfloat16 that is not above `value`, which is not negative.
float bf16_below(double value) {
  auto nearest = static_cast<float>(value);
  if (static_cast<double>(nearest) > value) nearest = std::nextafter(nearest, 0.0F);
  return std::bit_cast<float>(std::bit_cast<uint32_t>(nearest) & 0xFFFF0000U);
}

float next_bf16(float value) {
  return std::bit_cast<float>(std::bit_cast<uint32_t>(value) + 0x10000U);
}

/// A mean of magnitudes for which the quantizer's scale, 1 / (1 / mean) in float32, is `scale`, if there is
/// one.
float mean_for(float scale) {
  const float above = std::nextafter(scale, 2 * scale);
  const float below = std::nextafter(scale, 0.0F);
  for (const float mean : std::array{scale, above, below}) {
    if (absmean_scale(static_cast<double>(mean)).scale == scale) return mean;
  }
  return scale;
}

}  // namespace

AbsmeanMasters::AbsmeanMasters(size_t nonzero, size_t count, float scale) : scale_(scale) {
  if (nonzero == 0) return;
  if (!(scale >= kQuantizerEpsilon)) {
    fail("a scale of ", scale, ": float masters cannot give one below ", kQuantizerEpsilon);
  }
  const float mean = mean_for(scale);
  scale_ = absmean_scale(static_cast<double>(mean)).scale;
  const double sum = static_cast<double>(mean) * static_cast<double>(count);
  magnitude_ = bf16_below(sum / static_cast<double>(nonzero));
  larger_ = next_bf16(magnitude_);
  const double step = static_cast<double>(larger_) - static_cast<double>(magnitude_);
  double missing = sum - static_cast<double>(magnitude_) * static_cast<double>(nonzero);
  num_larger_ = std::min(nonzero, static_cast<size_t>(missing / step));
  missing -= static_cast<double>(num_larger_) * step;
  const size_t zeros = count - nonzero;
  if (zeros == 0 || missing <= 0) return;
  // A quarter of the scale, or less: half of it would no longer be rounded to 0.
  fill_ = bf16_below(0.25 * static_cast<double>(mean));
  num_fill_ = std::min(zeros, static_cast<size_t>(missing / static_cast<double>(fill_)));
  missing -= static_cast<double>(num_fill_) * static_cast<double>(fill_);
  for (float& rest : rest_) {
    rest = bf16_below(std::min(missing, static_cast<double>(fill_)));
    missing -= static_cast<double>(rest);
  }
}

void AbsmeanMasters::fill(std::span<const int8_t> codes, size_t nonzero_before, size_t zeros_before,
                          std::span<float> masters) const {
  for (size_t i = 0; i < codes.size(); ++i) {
    if (codes[i] == 0) {
      const size_t behind = zeros_before - num_fill_;  // meaningless before the fill ends
      masters[i] = zeros_before < num_fill_ ? fill_ : behind < rest_.size() ? rest_[behind] : 0.0F;
      ++zeros_before;
    } else {
      const float magnitude = nonzero_before < num_larger_ ? larger_ : magnitude_;
      masters[i] = codes[i] > 0 ? magnitude : -magnitude;
      ++nonzero_before;
    }
  }
}

}  // namespace rotor
