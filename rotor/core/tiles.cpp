// Packing, unpacking and checking of tiles, word by word. Words are assembled from bytes so that the file's
// bytes are the same on every machine, whatever its byte order.
#include "rotor/core/tiles.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

#include "rotor/core/clones.h"
#include "rotor/core/error.h"

namespace rotor {
namespace {

uint32_t load_word(const uint8_t* bytes) {
  return uint32_t{bytes[0]} | uint32_t{bytes[1]} << 8 | uint32_t{bytes[2]} << 16 | uint32_t{bytes[3]} << 24;
}

void store_word(uint8_t* bytes, uint32_t word) {
  for (int i = 0; i < 4; ++i) bytes[i] = static_cast<uint8_t>(word >> (8 * i));
}

/// The word of plane `plane` (0 plus, 1 minus) that holds row `row` and columns 32*column_tile.. .
size_t word_offset(size_t row, size_t column_tile, size_t column_tile_count, size_t plane) {
  const size_t tile = row / kTileRows * column_tile_count + column_tile;
  return tile * kTileBytes + plane * kPlaneBytes + row % kTileRows * 4;
}

/// The bits of a word that lie inside a matrix with `columns` columns left (1..32 or more).
uint32_t inside_mask(size_t columns) {
  if (columns >= kTileColumns) return ~uint32_t{0};
  uint32_t mask = 0;
  for (size_t c = 0; c < columns; ++c) mask |= uint32_t{1} << plane_bit(c);
  return mask;
}

}  // namespace

ROTOR_CLONES void pack_tiles(std::span<const int8_t> weights, size_t rows, size_t cols,
                             std::span<uint8_t> tiles) {
  assert(weights.size() == rows * cols && tiles.size() == tile_bytes(rows, cols));
  if (const size_t at = find_non_ternary(weights); at < weights.size()) {
    fail("row ", at / cols, ", column ", at % cols, " of a ternary matrix: expected -1, 0 or 1, found ",
         int{weights[at]});
  }
  if (rows % kTileRows != 0) std::fill(tiles.begin(), tiles.end(), uint8_t{0});  // rows that pad
  const size_t column_tile_count = column_tiles(cols);
  for (size_t row = 0; row < rows; ++row) {
    const int8_t* values = weights.data() + row * cols;
    for (size_t ct = 0; ct < column_tile_count; ++ct) {
      const size_t first = ct * kTileColumns;
      const size_t count = std::min(kTileColumns, cols - first);
      // Four neighbouring columns are bit b of the four bytes of a word: the lowest bits of their values.
      uint8_t bytes[kTileColumns] = {};
      std::memcpy(bytes, values + first, count);
      uint32_t plus = 0;
      uint32_t minus = 0;
      for (size_t b = 0; b < kTileColumns / 4; ++b) {
        constexpr uint32_t kLowest = 0x01010101;
        const uint32_t four = load_word(bytes + 4 * b);
        const uint32_t negative = four >> 7 & kLowest;
        plus |= (four & kLowest & ~negative) << b;
        minus |= negative << b;
      }
      store_word(&tiles[word_offset(row, ct, column_tile_count, 0)], plus);
      store_word(&tiles[word_offset(row, ct, column_tile_count, 1)], minus);
    }
  }
}

void unpack_tiles(std::span<const uint8_t> tiles, size_t rows, size_t cols, std::span<int8_t> weights) {
  assert(weights.size() == rows * cols && tiles.size() == tile_bytes(rows, cols));
  const size_t column_tile_count = column_tiles(cols);
  for (size_t row = 0; row < rows; ++row) {
    for (size_t ct = 0; ct < column_tile_count; ++ct) {
      const uint32_t plus = load_word(&tiles[word_offset(row, ct, column_tile_count, 0)]);
      const uint32_t minus = load_word(&tiles[word_offset(row, ct, column_tile_count, 1)]);
      const size_t first = ct * kTileColumns;
      const size_t count = std::min(kTileColumns, cols - first);
      for (size_t c = 0; c < count; ++c) {
        const unsigned bit = plane_bit(c);
        weights[row * cols + first + c] =
            static_cast<int8_t>(static_cast<int>(plus >> bit & 1) - static_cast<int>(minus >> bit & 1));
      }
    }
  }
}

std::vector<PlaneFault> find_plane_faults(std::span<const uint8_t> tiles, size_t rows, size_t cols,
                                          size_t limit) {
  assert(tiles.size() == tile_bytes(rows, cols));
  std::vector<PlaneFault> faults;
  const size_t column_tile_count = column_tiles(cols);
  for (size_t rt = 0; rt < row_tiles(rows); ++rt) {
    for (size_t ct = 0; ct < column_tile_count; ++ct) {
      for (size_t row = rt * kTileRows; row < (rt + 1) * kTileRows; ++row) {
        const uint32_t plus = load_word(&tiles[word_offset(row, ct, column_tile_count, 0)]);
        const uint32_t minus = load_word(&tiles[word_offset(row, ct, column_tile_count, 1)]);
        const uint32_t inside = row < rows ? inside_mask(cols - ct * kTileColumns) : 0;
        const uint32_t both = plus & minus;
        const uint32_t outside = (plus | minus) & ~inside;
        if ((both | outside) == 0) continue;
        for (size_t c = 0; c < kTileColumns; ++c) {
          const uint32_t bit = uint32_t{1} << plane_bit(c);
          if (((both | outside) & bit) == 0) continue;
          if (faults.size() == limit) return faults;
          faults.push_back({(both & bit) != 0 ? PlaneFault::Kind::both_bits : PlaneFault::Kind::padding, row,
                            ct * kTileColumns + c});
        }
      }
    }
  }
  return faults;
}

std::optional<PlaneFault> find_plane_fault(std::span<const uint8_t> tiles, size_t rows, size_t cols) {
  const auto faults = find_plane_faults(tiles, rows, cols, 1);
  return faults.empty() ? std::nullopt : std::optional(faults.front());
}

ROTOR_CLONES TritCounts count_trits(std::span<const uint8_t> tiles, size_t rows, size_t cols) {
  assert(tiles.size() == tile_bytes(rows, cols));
  TritCounts counts;
  for (size_t tile = 0; tile < tiles.size(); tile += kTileBytes) {
    for (size_t i = 0; i < kPlaneBytes; i += 4) {
      counts.plus += static_cast<size_t>(std::popcount(load_word(&tiles[tile + i])));
      counts.minus += static_cast<size_t>(std::popcount(load_word(&tiles[tile + kPlaneBytes + i])));
    }
  }
  counts.zero = rows * cols - counts.plus - counts.minus;
  return counts;
}

ROTOR_CLONES TritCounts count_trits(std::span<const int8_t> values) {
  // In bytes side by side, of which no sum is more than 255.
  constexpr size_t kLanes = 64;
  constexpr size_t kBlock = 255 * kLanes;
  TritCounts counts;
  for (size_t first = 0; first < values.size(); first += kBlock) {
    const auto block = values.subspan(first, std::min(kBlock, values.size() - first));
    uint8_t plus[kLanes] = {};
    uint8_t minus[kLanes] = {};
    const size_t whole = block.size() / kLanes * kLanes;
    for (size_t i = 0; i < whole; i += kLanes) {
      for (size_t lane = 0; lane < kLanes; ++lane) {
        plus[lane] = static_cast<uint8_t>(plus[lane] + (block[i + lane] > 0 ? 1 : 0));
        minus[lane] = static_cast<uint8_t>(minus[lane] + (block[i + lane] < 0 ? 1 : 0));
      }
    }
    for (size_t lane = 0; lane < kLanes; ++lane) {
      counts.plus += plus[lane];
      counts.minus += minus[lane];
    }
    for (const int8_t value : block.subspan(whole)) {
      counts.plus += value > 0 ? 1 : 0;
      counts.minus += value < 0 ? 1 : 0;
    }
  }
  counts.zero = values.size() - counts.plus - counts.minus;
  return counts;
}

}  // namespace rotor
