// Ternary vectors as bit-planes, one value at a time: the plain reference (kernels have fast forms).
#include "rotor/core/planes.h"

#include <algorithm>

#include "rotor/core/clones.h"
#include "rotor/core/error.h"

namespace rotor {

ROTOR_CLONES size_t find_non_ternary(std::span<const int8_t> values) {
  const auto is_bad = [](int8_t v) { return v < -1 || v > 1; };
  constexpr size_t kBlock = 4096;  // looked at whole: usually there is nothing to find
  for (size_t first = 0; first < values.size(); first += kBlock) {
    const auto block = values.subspan(first, std::min(kBlock, values.size() - first));
    uint8_t bad = 0;
    for (const int8_t v : block) bad |= static_cast<uint8_t>(is_bad(v));
    if (bad != 0) return first + static_cast<size_t>(std::ranges::find_if(block, is_bad) - block.begin());
  }
  return values.size();
}

TernaryVector encode_trits(std::span<const int8_t> values) {
  if (const size_t at = find_non_ternary(values); at < values.size()) {
    fail("value ", at, " of a ternary vector: expected -1, 0 or 1, found ", int{values[at]});
  }
  TernaryVector vector(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const uint32_t bit = uint32_t{1} << plane_bit(i % kWordColumns);
    if (values[i] > 0) vector.plus[i / kWordColumns] |= bit;
    if (values[i] < 0) vector.minus[i / kWordColumns] |= bit;
  }
  return vector;
}

std::vector<int8_t> decode_trits(const TernaryVector& vector) {
  std::vector<int8_t> values(vector.size);
  for (size_t i = 0; i < vector.size; ++i) {
    const unsigned bit = plane_bit(i % kWordColumns);
    const int plus = static_cast<int>(vector.plus[i / kWordColumns] >> bit & 1);
    const int minus = static_cast<int>(vector.minus[i / kWordColumns] >> bit & 1);
    if (plus + minus == 2)
      fail("value ", i, " of a ternary vector: expected 00, 10 or 01, found the pair 11");
    values[i] = static_cast<int8_t>(plus - minus);
  }
  return values;
}

}  // namespace rotor
