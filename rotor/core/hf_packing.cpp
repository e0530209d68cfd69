// Pack and unpack of the Hugging Face 2-bit layout, a byte row at a time.
#include "rotor/core/hf_packing.h"

#include <algorithm>
#include <cassert>

#include "rotor/core/error.h"
#include "rotor/core/planes.h"

namespace rotor {

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

void hf_pack_quarter(std::span<const int8_t> weights, unsigned quarter, std::span<uint8_t> packed) {
  const unsigned shift = 2 * quarter;
  for (size_t i = 0; i < weights.size(); ++i) packed[i] |= static_cast<uint8_t>((weights[i] + 1) << shift);
}

void hf_unpack(std::span<const uint8_t> packed, size_t rows, size_t cols, std::span<int8_t> weights) {
  hf_unpack_rows(packed, rows, cols, 0, rows, weights);
}

void hf_unpack_rows(std::span<const uint8_t> packed, size_t rows, size_t cols, size_t first, size_t count,
                    std::span<int8_t> weights) {
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

}  // namespace rotor
