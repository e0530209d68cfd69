// Sums are taken in double and in order, so that a file is the same on every machine.
#include "rotor/core/screening.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace rotor {
namespace {

constexpr size_t kLargestBlock = 1024;
constexpr double kThreshold = 0.6;

/// SplitMix64 (Steele, Lea and Flood 2014): output `index` for seed 0.
uint64_t random_word(uint64_t index) {
  uint64_t z = (index + 1) * 0x9E3779B97F4A7C15U;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
  z = (z ^ z >> 27) * 0x94D049BB133111EBU;
  return z ^ z >> 31;
}

void flip_signs(std::span<float> values) {
  for (size_t first = 0; first < values.size(); first += 64) {
    const uint64_t word = random_word(first / 64);
    const size_t end = std::min(first + 64, values.size());
    for (size_t i = first; i < end; ++i) values[i] = (word >> (i - first) & 1) != 0 ? -values[i] : values[i];
  }
}

/// Unscaled Walsh-Hadamard transform of a power of two of values.
void transform(float* values, size_t size) {
  for (size_t half = 1; half < size; half *= 2) {
    for (size_t first = 0; first < size; first += 2 * half) {
      float* left = values + first;
      float* right = left + half;
      for (size_t i = 0; i < half; ++i) {
        const float sum = left[i] + right[i];
        right[i] = left[i] - right[i];
        left[i] = sum;
      }
    }
  }
}

}  // namespace

size_t rotation_block(size_t size) {
  return size == 0 ? 1 : std::min(kLargestBlock, size_t{1} << std::countr_zero(size));
}

void rotate(std::span<float> values) {
  flip_signs(values);
  const size_t block = rotation_block(values.size());
  const float scale = 1.0F / std::sqrt(static_cast<float>(block));
  for (size_t first = 0; first < values.size(); first += block) transform(values.data() + first, block);
  for (float& v : values) v *= scale;
}

ScreeningRow screen_row(std::span<const float> rotated, std::span<int8_t> trits) {
  double squares = 0.0;
  for (const float w : rotated) squares += static_cast<double>(w) * static_cast<double>(w);
  const auto size = static_cast<double>(rotated.size());
  const auto threshold = static_cast<float>(kThreshold * std::sqrt(squares / size));
  double product = 0.0;
  double ones = 0.0;
  for (size_t i = 0; i < rotated.size(); ++i) {
    const float magnitude = std::fabs(rotated[i]);
    const bool kept = magnitude > threshold;
    trits[i] = static_cast<int8_t>(kept ? (rotated[i] > 0.0F ? 1 : -1) : 0);
    product += kept ? static_cast<double>(magnitude) : 0.0;
    ones += kept ? 1.0 : 0.0;
  }
  if (product == 0.0) return {};
  const double scale = squares / product;
  const double residual = std::max(scale * scale * ones - squares, 0.0);
  return {static_cast<float>(scale), static_cast<float>(std::sqrt(residual / size))};
}

}  // namespace rotor
