// A ternary matrix that is not trained, as two bit-planes in memory: a quarter byte a weight, so that a model
// of billions of weights fits beside what is trained.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <span>

namespace rotor::train {

/// Bytes that a row of a plane takes: column c is bit c % 8 of byte c / 8.
constexpr int64_t plane_row_bytes(int64_t cols) {
  return (cols + 7) / 8;
}

/// Planes uint8 [2, rows, plane_row_bytes(cols)], plus and minus, of all zeros.
torch::Tensor make_planes(int64_t rows, int64_t cols);

/// Writes rows `first` on of planes on the CPU. `codes`: whole rows of -1, 0, +1.
void write_planes(const torch::Tensor& planes, int64_t first, int64_t cols, std::span<const int8_t> codes);

/// The codes as float32 into `codes` [rows, cols], on the planes' device.
void unpack_planes(const torch::Tensor& planes, const torch::Tensor& codes);

}  // namespace rotor::train
