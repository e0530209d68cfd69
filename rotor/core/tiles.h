// Ternary matrices as tiles of two bit-planes: the bytes that .rotor files hold and kernels read
// (docs/file-format.md). A tile is 16 rows by 32 columns: 16 words of the plus plane, then 16 of the minus
// plane; the matrix's edges are padded with 00, and tiles follow one another along the columns, so 16 rows
// make one sequential stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "rotor/core/planes.h"

namespace rotor {

inline constexpr size_t kTileRows = 16;
inline constexpr size_t kTileColumns = kWordColumns;
inline constexpr size_t kPlaneBytes = kTileRows * kTileColumns / 8;  // 64: one plane of a tile
inline constexpr size_t kTileBytes = 2 * kPlaneBytes;

constexpr size_t row_tiles(size_t rows) {
  return (rows + kTileRows - 1) / kTileRows;
}
constexpr size_t column_tiles(size_t cols) {
  return (cols + kTileColumns - 1) / kTileColumns;
}
constexpr size_t tile_bytes(size_t rows, size_t cols) {
  return row_tiles(rows) * column_tiles(cols) * kTileBytes;
}

/// Packs ternary weights into tiles. `weights`: [rows, cols], row-major, each -1, 0 or +1.
/// `tiles`: tile_bytes(rows, cols) bytes, not overlapping `weights`.
/// Throws Error naming row and column of the first value that is not ternary; `tiles` is then unspecified.
void pack_tiles(std::span<const int8_t> weights, size_t rows, size_t cols, std::span<uint8_t> tiles);

/// The inverse. `weights`: [rows, cols]. A pair (1,1) is not looked for: it reads as 0 here (see
/// find_plane_fault).
void unpack_tiles(std::span<const uint8_t> tiles, size_t rows, size_t cols, std::span<int8_t> weights);

/// Where a plane holds what it must not.
struct PlaneFault {
  enum class Kind { both_bits, padding };  // the pair (1,1); a set bit outside the matrix
  Kind kind;
  size_t row;
  size_t column;
};

/// The first fault in tile order, if any. Finds every pair (1,1), in the padding too, and every set padding
/// bit.
std::optional<PlaneFault> find_plane_fault(std::span<const uint8_t> tiles, size_t rows, size_t cols);

/// All faults, at most `limit` of them.
std::vector<PlaneFault> find_plane_faults(std::span<const uint8_t> tiles, size_t rows, size_t cols,
                                          size_t limit);

/// How many weights have each value.
struct TritCounts {
  size_t minus = 0;
  size_t zero = 0;
  size_t plus = 0;

  size_t total() const { return minus + zero + plus; }
  /// Share of zeros, 0 to 1 (0 for no weights).
  double sparsity() const {
    return total() == 0 ? 0.0 : static_cast<double>(zero) / static_cast<double>(total());
  }
};

/// Counts over the matrix (padding not counted).
TritCounts count_trits(std::span<const uint8_t> tiles, size_t rows, size_t cols);
/// Counts over plain values of -1, 0, +1.
TritCounts count_trits(std::span<const int8_t> values);

}  // namespace rotor
