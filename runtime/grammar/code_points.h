// Sets of Unicode characters as ranges, and UTF-8 as ranges of bytes. Surrogates are no characters.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rotor::runtime::grammar {

inline constexpr uint32_t kMaxCodePoint = 0x10FFFF;

/// A set of code points: sorted ranges, both ends included, without overlap or neighbours.
class CodePoints {
 public:
  using Range = std::pair<uint32_t, uint32_t>;
  CodePoints() = default;
  /// In any order, overlapping or not; each 0 to kMaxCodePoint, first <= second. Surrogates are left out.
  explicit CodePoints(std::vector<Range> ranges);

  const std::vector<Range>& ranges() const { return ranges_; }
  bool empty() const { return ranges_.empty(); }
  bool contains(uint32_t point) const;
  CodePoints complement() const;
  CodePoints united(const CodePoints& other) const;
  CodePoints without(const CodePoints& other) const;

 private:
  std::vector<Range> ranges_;
};

/// A range of bytes at each place of a character.
using ByteRanges = std::vector<std::pair<uint8_t, uint8_t>>;

/// The range in UTF-8: its characters are those of which each byte is in the range of its place, for one of
/// the results.
std::vector<ByteRanges> utf8_ranges(uint32_t first, uint32_t last);

std::string utf8_of(uint32_t point);
/// The character at the beginning of `text`, which is cut off; nothing if it is not valid UTF-8.
std::optional<uint32_t> take_code_point(std::string_view& text);

}  // namespace rotor::runtime::grammar
