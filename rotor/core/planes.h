// A ternary vector as two bit-planes: value = plus - minus. This is the vector form (ternary activations, dot
// products); matrices lie in tiles of such words (tiles.h). The bit order is the same in both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace rotor {

/// Columns that one 32-bit word of a plane holds.
inline constexpr size_t kWordColumns = 32;

/// The bit of a plane word that holds column `column` (0..31): column 4*b + j is bit 8*j + b.
/// Taking bit b of every byte gives four neighbouring columns, in the order of integer dot-product
/// instructions.
constexpr unsigned plane_bit(size_t column) {
  return static_cast<unsigned>(8 * (column % 4) + column / 4);
}

/// Words that a plane of `size` columns takes.
constexpr size_t plane_words(size_t size) {
  return (size + kWordColumns - 1) / kWordColumns;
}

/// Position of the first value that is not -1, 0 or +1, or values.size() if all are.
size_t find_non_ternary(std::span<const int8_t> values);

/// A ternary vector of `size` values; the bits past `size` in the last word are 0.
struct TernaryVector {
  size_t size = 0;
  std::vector<uint32_t> plus;   // plane_words(size)
  std::vector<uint32_t> minus;  // plane_words(size)

  TernaryVector() = default;
  explicit TernaryVector(size_t n) : size(n), plus(plane_words(n)), minus(plane_words(n)) {}
};

/// Encodes values of -1, 0, +1. Throws Error naming the position of the first other value.
TernaryVector encode_trits(std::span<const int8_t> values);

/// Decodes to -1, 0, +1. Throws Error naming the position of the first pair (1,1).
std::vector<int8_t> decode_trits(const TernaryVector& vector);

}  // namespace rotor
