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

ScreeningColumns screening_columns(std::span<const int8_t> codes, std::span<const float> scales) {
  const size_t rows = scales.size();
  const size_t cols = rows == 0 ? 0 : codes.size() / rows;
  std::vector<double> sums(cols);
  std::vector<double> squares(cols);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < cols; ++c) {
      const double value = static_cast<double>(codes[r * cols + c]) * static_cast<double>(scales[r]);
      sums[c] += value;
      squares[c] += value * value;
    }
  }
  ScreeningColumns columns;
  const auto count = static_cast<double>(rows);
  for (size_t c = 0; c < cols; ++c) {
    const double mean = sums[c] / count;
    columns.mean.push_back(static_cast<float>(mean));
    columns.spread.push_back(static_cast<float>(std::sqrt(std::max(squares[c] / count - mean * mean, 0.0))));
  }
  return columns;
}

ScreeningRow screen_row(std::span<const int8_t> codes, float scale, const ScreeningColumns& columns,
                        std::span<int8_t> trits) {
  thread_local std::vector<float> turned;
  turned.resize(codes.size());
  for (size_t c = 0; c < codes.size(); ++c) {
    const float difference = static_cast<float>(codes[c]) * scale - columns.mean[c];
    turned[c] = columns.spread[c] > 0.0F ? difference / columns.spread[c] : 0.0F;
  }
  rotate(turned);
  double squares = 0.0;
  for (const float v : turned) squares += static_cast<double>(v) * static_cast<double>(v);
  const auto size = static_cast<double>(turned.size());
  const auto threshold = static_cast<float>(kThreshold * std::sqrt(squares / size));
  double product = 0.0;
  double ones = 0.0;
  for (size_t i = 0; i < turned.size(); ++i) {
    const float magnitude = std::fabs(turned[i]);
    const bool kept = magnitude > threshold;
    trits[i] = static_cast<int8_t>(kept ? (turned[i] > 0.0F ? 1 : -1) : 0);
    product += kept ? static_cast<double>(magnitude) : 0.0;
    ones += kept ? 1.0 : 0.0;
  }
  if (product == 0.0) return {};
  const double factor = squares / product;
  const double residual = std::max(factor * factor * ones - squares, 0.0);
  return {static_cast<float>(factor), static_cast<float>(std::sqrt(residual / size))};
}

float screening_input(std::span<const float> x, std::span<const float> mean, std::span<const float> spread,
                      std::span<float> turned) {
  double shift = 0.0;
  for (size_t c = 0; c < x.size(); ++c) {
    shift += static_cast<double>(x[c]) * static_cast<double>(mean[c]);
    turned[c] = x[c] * spread[c];
  }
  rotate(turned);
  return static_cast<float>(shift);
}

}  // namespace rotor
