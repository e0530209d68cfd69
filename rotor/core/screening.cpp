// Sums are taken in a fixed order, so that a file is the same on every machine.
#include "rotor/core/screening.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "rotor/core/clones.h"

namespace rotor {
namespace {

constexpr double kThreshold = 0.6;

/// SplitMix64 (Steele, Lea and Flood 2014): output `index` for seed 0.
uint64_t random_word(uint64_t index) {
  uint64_t z = (index + 1) * 0x9E3779B97F4A7C15U;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
  z = (z ^ z >> 27) * 0x94D049BB133111EBU;
  return z ^ z >> 31;
}

/// Factors -1 and +1 for two rotations, the second one's from the next whole word of randomness on; the same
/// for every row, so they are made once a width. (Twice a width that is no power of two is none either, so
/// the number of factors says whose they are.)
const std::vector<float>& random_signs(size_t size, size_t second_size) {
  thread_local std::vector<float> signs;
  if (signs.size() == size + second_size) return signs;
  signs.clear();
  size_t next_word = 0;
  for (const size_t count : {size, second_size}) {
    uint64_t word = 0;
    for (size_t i = 0; i < count; ++i, word >>= 1) {
      if (i % 64 == 0) word = random_word(next_word++);
      signs.push_back((word & 1) != 0 ? -1.0F : 1.0F);
    }
  }
  return signs;
}

ROTOR_CLONES void multiply(std::span<float> values, const float* factors) {
  for (size_t i = 0; i < values.size(); ++i) values[i] *= factors[i];
}

/// Walsh-Hadamard transform of a power of two of values, times `scale`.
ROTOR_CLONES void transform(float* values, size_t size, float scale) {
  size_t half = 1;
  for (; half == 1 && size % 4 == 0; half = 4) {  // two steps at once, on neighbours
    for (size_t i = 0; i < size; i += 4) {
      const float a = values[i] + values[i + 1];
      const float b = values[i] - values[i + 1];
      const float c = values[i + 2] + values[i + 3];
      const float d = values[i + 2] - values[i + 3];
      values[i] = a + c;
      values[i + 1] = b + d;
      values[i + 2] = a - c;
      values[i + 3] = b - d;
    }
  }
  for (; half < size; half *= 2) {
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
  for (size_t i = 0; i < size; ++i) values[i] *= scale;
}

/// Sum of term(v) in interleaved partial sums, so that it can be computed side by side.
double lane_sum(std::span<const float> values, const auto& term) {
  constexpr size_t kLanes = 32;
  float sums[kLanes] = {};
  const size_t whole = values.size() / kLanes * kLanes;
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) sums[lane] += term(values[i + lane]);
  }
  for (size_t i = whole; i < values.size(); ++i) sums[i - whole] += term(values[i]);
  double sum = 0.0;
  for (const float part : sums) sum += static_cast<double>(part);
  return sum;
}

}  // namespace

void rotate(std::span<float> values) {
  if (values.empty()) return;
  const size_t size = std::bit_floor(values.size());
  const float scale = 1.0F / std::sqrt(static_cast<float>(size));
  const size_t second_size = size == values.size() ? 0 : values.size();
  const std::vector<float>& signs = random_signs(values.size(), second_size);
  multiply(values, signs.data());
  transform(values.data(), size, scale);
  if (second_size == 0) return;
  multiply(values, signs.data() + values.size());
  transform(values.data() + values.size() - size, size, scale);
}

ROTOR_CLONES void ScreeningSums::add(std::span<const int8_t> codes, std::span<const float> scales) {
  const size_t cols = sums_.size();
  for (size_t r = 0; r < scales.size(); ++r) {
    for (size_t c = 0; c < cols; ++c) {
      const double value = static_cast<double>(codes[r * cols + c]) * static_cast<double>(scales[r]);
      sums_[c] += value;
      squares_[c] += value * value;
    }
  }
  rows_ += scales.size();
}

void ScreeningSums::add(const ScreeningSums& other) {
  for (size_t c = 0; c < sums_.size(); ++c) {
    sums_[c] += other.sums_[c];
    squares_[c] += other.squares_[c];
  }
  rows_ += other.rows_;
}

ScreeningColumns ScreeningSums::columns() const {
  ScreeningColumns columns;
  const auto count = static_cast<double>(std::max<size_t>(rows_, 1));
  for (size_t c = 0; c < sums_.size(); ++c) {
    const double mean = sums_[c] / count;
    columns.mean.push_back(static_cast<float>(mean));
    const auto spread = static_cast<float>(std::sqrt(std::max(squares_[c] / count - mean * mean, 0.0)));
    columns.spread.push_back(spread);
    columns.inverse_spread.push_back(spread > 0.0F ? 1.0F / spread : 0.0F);
  }
  return columns;
}

ROTOR_CLONES ScreeningRow screen_row(std::span<const int8_t> codes, float scale,
                                     const ScreeningColumns& columns, std::span<int8_t> trits) {
  thread_local std::vector<float> turned;
  turned.resize(codes.size());
  for (size_t c = 0; c < codes.size(); ++c) {
    turned[c] = (static_cast<float>(codes[c]) * scale - columns.mean[c]) * columns.inverse_spread[c];
  }
  rotate(turned);
  const double squares = lane_sum(turned, [](float v) { return v * v; });
  const auto size = static_cast<double>(turned.size());
  const auto threshold = static_cast<float>(kThreshold * std::sqrt(squares / size));
  for (size_t i = 0; i < turned.size(); ++i) {
    trits[i] = static_cast<int8_t>((turned[i] > threshold) - (turned[i] < -threshold));
  }
  const double product =
      lane_sum(turned, [&](float v) { return std::fabs(v) > threshold ? std::fabs(v) : 0.0F; });
  const double ones = lane_sum(turned, [&](float v) { return std::fabs(v) > threshold ? 1.0F : 0.0F; });
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
