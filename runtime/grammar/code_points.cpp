// Set arithmetic on sorted ranges, and the splitting of ranges where UTF-8's lengths and bytes change.
#include "runtime/grammar/code_points.h"

#include <algorithm>

#include "rotor/text/stream_decoder.h"

namespace rotor::runtime::grammar {
namespace {

constexpr uint32_t kFirstSurrogate = 0xD800;
constexpr uint32_t kLastSurrogate = 0xDFFF;

/// Sorts and joins.
std::vector<CodePoints::Range> normal(std::vector<CodePoints::Range> ranges) {
  std::ranges::sort(ranges);
  std::vector<CodePoints::Range> joined;
  for (const auto& [first, last] : ranges) {
    if (!joined.empty() && first <= joined.back().second + 1) {
      joined.back().second = std::max(joined.back().second, last);
    } else {
      joined.emplace_back(first, last);
    }
  }
  return joined;
}

/// Both ends have `length` bytes; each continuation byte of `first` is the smallest or the ends agree so far.
void add_ranges(const std::string& first, const std::string& last, std::vector<ByteRanges>& result) {
  ByteRanges ranges;
  for (size_t i = 0; i < first.size(); ++i) {
    ranges.emplace_back(static_cast<uint8_t>(first[i]), static_cast<uint8_t>(last[i]));
  }
  result.push_back(std::move(ranges));
}

void split(uint32_t first, uint32_t last, std::vector<ByteRanges>& result) {
  for (const uint32_t longest : {0x7FU, 0x7FFU, 0xFFFFU}) {
    if (first <= longest && last > longest) {
      split(first, longest, result);
      split(longest + 1, last, result);
      return;
    }
  }
  // A range is a product of byte ranges if, behind the first byte that differs, it runs over whole blocks.
  for (uint32_t bits = 6; bits <= 18 && last > 0x7F; bits += 6) {
    const uint32_t low = (1U << bits) - 1;
    if ((first & ~low) == (last & ~low)) break;
    if ((first & low) != 0) {
      split(first, first | low, result);
      split((first | low) + 1, last, result);
      return;
    }
    if ((last & low) != low) {
      split(first, (last & ~low) - 1, result);
      split(last & ~low, last, result);
      return;
    }
  }
  add_ranges(utf8_of(first), utf8_of(last), result);
}

}  // namespace

CodePoints::CodePoints(std::vector<Range> ranges) {
  std::vector<Range> characters;
  for (const auto& [first, last] : ranges) {
    if (first < kFirstSurrogate) characters.emplace_back(first, std::min(last, kFirstSurrogate - 1));
    if (last > kLastSurrogate) characters.emplace_back(std::max(first, kLastSurrogate + 1), last);
  }
  ranges_ = normal(std::move(characters));
}

bool CodePoints::contains(uint32_t point) const {
  return std::ranges::any_of(ranges_, [&](const Range& r) { return point >= r.first && point <= r.second; });
}

CodePoints CodePoints::complement() const {
  std::vector<Range> rest;
  uint32_t next = 0;
  for (const auto& [first, last] : ranges_) {
    if (first > next) rest.emplace_back(next, first - 1);
    next = last + 1;
  }
  if (next <= kMaxCodePoint) rest.emplace_back(next, kMaxCodePoint);
  return CodePoints(std::move(rest));
}

CodePoints CodePoints::united(const CodePoints& other) const {
  std::vector<Range> all = ranges_;
  all.insert(all.end(), other.ranges_.begin(), other.ranges_.end());
  return CodePoints(std::move(all));
}

CodePoints CodePoints::without(const CodePoints& other) const {
  return complement().united(other).complement();
}

std::vector<ByteRanges> utf8_ranges(uint32_t first, uint32_t last) {
  std::vector<ByteRanges> result;
  split(first, last, result);
  return result;
}

std::string utf8_of(uint32_t point) {
  const auto tail = [&](uint32_t shift) { return static_cast<char>(0x80 | (point >> shift & 0x3F)); };
  if (point <= 0x7F) return {static_cast<char>(point)};
  if (point <= 0x7FF) return {static_cast<char>(0xC0 | point >> 6), tail(0)};
  if (point <= 0xFFFF) return {static_cast<char>(0xE0 | point >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xF0 | point >> 18), tail(12), tail(6), tail(0)};
}

std::optional<uint32_t> take_code_point(std::string_view& text) {
  if (text.empty()) return {};
  const auto lead = static_cast<uint8_t>(text[0]);
  const size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (text.size() < length || text::valid_utf8_prefix(text.substr(0, length)) != length) return {};
  uint32_t point = length == 1 ? lead : lead & (0x7FU >> length);
  for (size_t i = 1; i < length; ++i) point = point << 6 | (static_cast<uint8_t>(text[i]) & 0x3FU);
  text.remove_prefix(length);
  return point;
}

}  // namespace rotor::runtime::grammar
