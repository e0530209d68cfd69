// On the CPU eight columns at a time by a table, on a GPU by shifts.
#include "train/models/packed_planes.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <array>

namespace rotor::train {
namespace {

using ByteValues = std::array<std::array<float, 8>, 256>;

/// The bits of each byte as 0.0 and 1.0.
constexpr ByteValues make_table() {
  ByteValues table{};
  for (size_t byte = 0; byte < 256; ++byte) {
    for (size_t bit = 0; bit < 8; ++bit) table[byte][bit] = (byte >> bit & 1) != 0 ? 1.0F : 0.0F;
  }
  return table;
}
constexpr ByteValues kBits = make_table();

void unpack_row(const uint8_t* plus, const uint8_t* minus, float* codes, int64_t cols) {
  for (int64_t c = 0; c < cols; c += 8) {
    const auto& p = kBits[plus[c / 8]];
    const auto& m = kBits[minus[c / 8]];
    const int64_t count = std::min<int64_t>(8, cols - c);
    if (count == 8) {
      for (size_t i = 0; i < 8; ++i) codes[c + static_cast<int64_t>(i)] = p[i] - m[i];
    } else {
      for (int64_t i = 0; i < count; ++i)
        codes[c + i] = p[static_cast<size_t>(i)] - m[static_cast<size_t>(i)];
    }
  }
}

}  // namespace

torch::Tensor make_planes(int64_t rows, int64_t cols) {
  return torch::zeros({2, rows, plane_row_bytes(cols)}, torch::kUInt8);
}

void write_planes(const torch::Tensor& planes, int64_t first, int64_t cols, std::span<const int8_t> codes) {
  const int64_t row_bytes = plane_row_bytes(cols);
  const int64_t rows = static_cast<int64_t>(codes.size()) / cols;
  auto* plus = planes.data_ptr<uint8_t>() + first * row_bytes;
  uint8_t* minus = plus + planes.size(1) * row_bytes;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t c = 0; c < cols; ++c) {
      const int8_t code = codes[static_cast<size_t>(row * cols + c)];
      const auto bit = static_cast<uint8_t>(1U << (c % 8));
      const int64_t byte = row * row_bytes + c / 8;
      if (code > 0) plus[byte] |= bit;
      if (code < 0) minus[byte] |= bit;
    }
  }
}

void unpack_planes(const torch::Tensor& planes, const torch::Tensor& codes) {
  const int64_t rows = codes.size(0);
  const int64_t cols = codes.size(1);
  if (!planes.is_cpu()) {
    const torch::Tensor bits = torch::arange(8, planes.options());
    const torch::Tensor values =
        planes.unsqueeze(-1).bitwise_right_shift(bits).bitwise_and(1).to(torch::kFloat32).flatten(2);
    codes.copy_((values[0] - values[1]).narrow(1, 0, cols));
    return;
  }
  const int64_t row_bytes = plane_row_bytes(cols);
  const auto* plus = planes.data_ptr<uint8_t>();
  const uint8_t* minus = plus + rows * row_bytes;
  auto* out = codes.data_ptr<float>();
  at::parallel_for(0, rows, std::max<int64_t>(1, 65536 / cols), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      unpack_row(plus + row * row_bytes, minus + row * row_bytes, out + row * cols, cols);
    }
  });
}

}  // namespace rotor::train
