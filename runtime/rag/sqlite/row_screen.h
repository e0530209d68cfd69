// Which rows of a matrix may have the largest inner products with a vector: from a copy of the rows in int8,
// a quarter of what float32 reads. The bound of its error is kept for each row, so that no row is missed: it
// only decides of which rows the exact product is needed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "rotor/kernels/kernels.h"

namespace rotor::runtime::rag {

class RowScreen {
 public:
  explicit RowScreen(size_t width) : width_(width) {}

  /// `rows`: [count, width].
  void add(std::span<const float> rows);
  /// `rows` ascend; those behind them move up.
  void remove(std::span<const size_t> rows);
  /// Rows, ascending, among which are the `count` with the largest inner products with `vector` [width].
  std::vector<int32_t> candidates(std::span<const float> vector, size_t count) const;
  /// The same of the rows `among` alone.
  std::vector<int32_t> candidates(std::span<const float> vector, size_t count,
                                  std::span<const int32_t> among) const;

 private:
  std::vector<int32_t> candidates(std::span<const float> vector, size_t count, const int32_t* among,
                                  size_t rows) const;

  kernels::Kernels kernels_ = kernels::choose_kernels();
  size_t width_;
  std::vector<int8_t> codes_;   // [rows, width]
  std::vector<float> scales_;   // codes times this are nearly the row
  std::vector<float> errors_;   // length of what they lack
  std::vector<float> lengths_;  // of the row as the codes have it
};

}  // namespace rotor::runtime::rag
