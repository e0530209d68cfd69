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
  for (size_t row = 0; row < rows; ++row) {
    const unsigned shift = static_cast<unsigned>(2 * (row / stride));
    const int8_t* values = weights.data() + row * cols;
    uint8_t* bytes = packed.data() + row % stride * cols;
    for (size_t c = 0; c < cols; ++c) bytes[c] |= static_cast<uint8_t>((values[c] + 1) << shift);
  }
}

void hf_unpack(std::span<const uint8_t> packed, size_t rows, size_t cols, std::span<int8_t> weights) {
  const size_t stride = hf_packed_rows(rows);
  assert(weights.size() == rows * cols && packed.size() == stride * cols);
  for (size_t row = 0; row < rows; ++row) {
    const unsigned shift = static_cast<unsigned>(2 * (row / stride));
    const uint8_t* bytes = packed.data() + row % stride * cols;
    for (size_t c = 0; c < cols; ++c) {
      const int code = bytes[c] >> shift & 3;
      if (code == 3)
        fail("row ", row, ", column ", c, " of a packed ternary matrix: expected code 0, 1 or 2, found 3");
      weights[row * cols + c] = static_cast<int8_t>(code - 1);
    }
  }
}

}  // namespace rotor
