// A row w is held as w' and a vector v as v': |w.v - w'.v'| <= |w - w'| |v| + |w'| |v - v'|, by Cauchy and
// Schwarz.
#include "runtime/rag/sqlite/row_screen.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <numeric>

namespace rotor::runtime::rag {
namespace {

/// Of the product's rounding to float32, as a share of both lengths.
constexpr float kRounding = 1e-6F;

float length_of(std::span<const float> values) {
  double square = 0.0;
  for (const float value : values) square += static_cast<double>(value) * static_cast<double>(value);
  return static_cast<float>(std::sqrt(square));
}

/// The length of values - codes * scale, and of codes * scale.
struct Lengths {
  float lacking = 0.0F;
  float held = 0.0F;
};

/// Several sums at once, which compilers make into vectors.
template <class Code>
Lengths lengths_of(std::span<const float> values, const Code* codes, float scale) {
  constexpr size_t kSums = 16;
  std::array<float, kSums> lacking{};
  std::array<float, kSums> held{};
  const auto take = [&](size_t i, size_t sum) {
    const float its = static_cast<float>(codes[i]) * scale;
    lacking[sum] += (values[i] - its) * (values[i] - its);
    held[sum] += its * its;
  };
  size_t i = 0;
  for (; i + kSums <= values.size(); i += kSums) {
    for (size_t sum = 0; sum < kSums; ++sum) take(i + sum, sum);
  }
  for (; i < values.size(); ++i) take(i, i % kSums);
  const auto root = [](const auto& sums) {
    return std::sqrt(std::accumulate(sums.begin(), sums.end(), 0.0F));
  };
  return {root(lacking), root(held)};
}

}  // namespace

void RowScreen::add(std::span<const float> rows) {
  if (codes_.empty()) codes_.reserve(rows.size());
  for (; !rows.empty(); rows = rows.subspan(width_)) {
    const std::span<const float> row = rows.first(width_);
    codes_.resize(codes_.size() + width_);
    int8_t* const codes = codes_.data() + codes_.size() - width_;
    const float quantizer = kernels_->quantize_int8(row.data(), width_, codes);
    const float scale = quantizer > 0.0F ? 1.0F / quantizer : 0.0F;
    const Lengths lengths = lengths_of(row, codes, scale);
    scales_.push_back(scale);
    errors_.push_back(lengths.lacking);
    lengths_.push_back(lengths.held);
  }
}

void RowScreen::remove(std::span<const size_t> rows) {
  if (rows.empty()) return;
  size_t to = rows.front();
  for (size_t i = 0; i < rows.size(); ++i) {
    const size_t from = rows[i] + 1;
    const size_t end = i + 1 < rows.size() ? rows[i + 1] : scales_.size();
    const auto move = [&](auto& values, size_t width) {
      const auto first = values.begin();
      std::copy(first + static_cast<ptrdiff_t>(from * width), first + static_cast<ptrdiff_t>(end * width),
                first + static_cast<ptrdiff_t>(to * width));
    };
    move(codes_, width_);
    move(scales_, 1);
    move(errors_, 1);
    move(lengths_, 1);
    to += end - from;
  }
  codes_.resize(to * width_);
  scales_.resize(to);
  errors_.resize(to);
  lengths_.resize(to);
}

std::vector<int32_t> RowScreen::candidates(std::span<const float> vector, size_t count) const {
  return candidates(vector, count, nullptr, scales_.size());
}

std::vector<int32_t> RowScreen::candidates(std::span<const float> vector, size_t count,
                                           std::span<const int32_t> among) const {
  return candidates(vector, count, among.data(), among.size());
}

std::vector<int32_t> RowScreen::candidates(std::span<const float> vector, size_t count, const int32_t* among,
                                           size_t rows) const {
  if (rows == 0 || count == 0) return {};
  const auto row_of = [&](size_t i) { return among == nullptr ? static_cast<int32_t>(i) : among[i]; };
  std::vector<int16_t> codes(width_);
  const float scale = kernels_->quantize_int16(vector.data(), width_, codes.data());
  const float length = length_of(vector);
  const float lacking = lengths_of(vector, codes.data(), scale).lacking;
  std::vector<float> products(rows);
  kernels_->matvec_q8(codes_.data(), scales_.data(), among, rows, width_, codes.data(), scale,
                      products.data());

  std::vector<float> least(rows);  // that a product can be
  std::vector<float>& most = products;
  for (size_t i = 0; i < rows; ++i) {
    const auto row = static_cast<size_t>(row_of(i));
    const float error =
        errors_[row] * length + lengths_[row] * lacking + kRounding * (lengths_[row] + errors_[row]) * length;
    least[i] = products[i] - error;
    most[i] = products[i] + error;
  }
  std::vector<int32_t> found;
  float threshold = least.front();
  if (count < rows) {
    const auto last = least.begin() + static_cast<ptrdiff_t>(count - 1);
    std::nth_element(least.begin(), last, least.end(), std::greater<>());
    threshold = *last;
  }
  for (size_t i = 0; i < rows; ++i) {
    if (count >= rows || most[i] >= threshold) found.push_back(row_of(i));
  }
  return found;
}

}  // namespace rotor::runtime::rag
