// Pack and unpack of the Hugging Face 2-bit layout, a byte row at a time.
#include "rotor/core/hf_packing.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <vector>

#include "rotor/core/clones.h"
#include "rotor/core/error.h"
#include "rotor/core/planes.h"
#include "rotor/core/tiles.h"

static_assert(std::endian::native == std::endian::little, "words are written as they lie in files");

namespace rotor {
namespace {

/// Writes the words of a row: of each tile along the columns, `words` is the plus plane's, and the minus
/// plane's lies kPlaneBytes behind. Returns false if a code is 3.
ROTOR_CLONES bool tile_row(std::span<const uint8_t> bytes, unsigned shift, uint8_t* words) {
  constexpr uint32_t kLowest = 0x01010101;
  uint32_t threes = 0;
  for (size_t first = 0; first < bytes.size(); first += kTileColumns, words += kTileBytes) {
    uint32_t fours[kTileColumns / 4];
    if (bytes.size() - first >= kTileColumns) {
      std::memcpy(fours, bytes.data() + first, sizeof(fours));
    } else {
      std::memset(fours, 0x55, sizeof(fours));  // columns that pad hold 0, whose code is 1
      std::memcpy(fours, bytes.data() + first, bytes.size() - first);
    }
    // Four neighbouring columns are bit b of the four bytes of a word.
    uint32_t plus = 0;
    uint32_t minus = 0;
    for (size_t b = 0; b < kTileColumns / 4; ++b) {
      const uint32_t low = fours[b] >> shift & kLowest;
      const uint32_t high = fours[b] >> (shift + 1) & kLowest;
      threes |= low & high;
      plus |= high << b;
      minus |= (~(low | high) & kLowest) << b;
    }
    std::memcpy(words, &plus, sizeof(plus));
    std::memcpy(words + kPlaneBytes, &minus, sizeof(minus));
  }
  return threes == 0;
}

}  // namespace

void hf_pack(std::span<const int8_t> weights, size_t rows, size_t cols, std::span<uint8_t> packed) {
  const size_t stride = hf_packed_rows(rows);
  assert(weights.size() == rows * cols && packed.size() == stride * cols);
  if (const size_t at = find_non_ternary(weights); at < weights.size()) {
    fail("row ", at / cols, ", column ", at % cols, " of a ternary matrix: expected -1, 0 or 1, found ",
         int{weights[at]});
  }
  std::fill(packed.begin(), packed.end(), uint8_t{0});
  for (size_t first = 0; first < rows; first += stride) {
    const size_t count = std::min(stride, rows - first);
    hf_pack_quarter(weights.subspan(first * cols, count * cols), static_cast<unsigned>(first / stride),
                    packed);
  }
}

ROTOR_CLONES void hf_pack_quarter(std::span<const int8_t> weights, unsigned quarter,
                                  std::span<uint8_t> packed) {
  const unsigned shift = 2 * quarter;
  for (size_t i = 0; i < weights.size(); ++i) packed[i] |= static_cast<uint8_t>((weights[i] + 1) << shift);
}

void hf_unpack(std::span<const uint8_t> packed, size_t rows, size_t cols, std::span<int8_t> weights) {
  hf_unpack_rows(packed, rows, cols, 0, rows, weights);
}

ROTOR_CLONES void hf_unpack_rows(std::span<const uint8_t> packed, size_t rows, size_t cols, size_t first,
                                 size_t count, std::span<int8_t> weights) {
  const size_t stride = hf_packed_rows(rows);
  assert(weights.size() == count * cols && packed.size() == stride * cols && first + count <= rows);
  for (size_t row = first; row < first + count; ++row) {
    const unsigned shift = static_cast<unsigned>(2 * (row / stride));
    const uint8_t* bytes = packed.data() + row % stride * cols;
    int8_t* values = weights.data() + (row - first) * cols;
    unsigned threes = 0;  // looked for once a row, so that the loop stays plain
    for (size_t c = 0; c < cols; ++c) {
      const unsigned code = bytes[c] >> shift & 3U;
      threes |= code & code >> 1;
      values[c] = static_cast<int8_t>(static_cast<int>(code) - 1);
    }
    if (threes == 0) continue;
    const size_t column = static_cast<size_t>(std::find(values, values + cols, int8_t{2}) - values);
    fail("row ", row, ", column ", column, " of a packed ternary matrix: expected code 0, 1 or 2, found 3");
  }
}

void hf_tile_rows(std::span<const uint8_t> packed, size_t rows, size_t cols, size_t first, size_t count,
                  std::span<uint8_t> tiles) {
  const size_t stride = hf_packed_rows(rows);
  assert(packed.size() == stride * cols && first + count <= rows && tiles.size() == tile_bytes(count, cols));
  if (count % kTileRows != 0) std::fill(tiles.begin(), tiles.end(), uint8_t{0});  // rows that pad
  for (size_t row = first; row < first + count; ++row) {
    const auto bytes = packed.subspan(row % stride * cols, cols);
    const size_t target = row - first;
    uint8_t* words =
        tiles.data() + target / kTileRows * column_tiles(cols) * kTileBytes + target % kTileRows * 4;
    if (tile_row(bytes, static_cast<unsigned>(2 * (row / stride)), words)) continue;
    std::vector<int8_t> values(cols);
    hf_unpack_rows(packed, rows, cols, row, 1, values);  // says where the code 3 is
  }
}

}  // namespace rotor
