#include "runtime/engine/prompt_lookup.h"

#include <algorithm>

namespace rotor::runtime {
namespace {

constexpr size_t kLongest = 3;
constexpr size_t kShortest = 2;  // a single token comes again by chance too often
constexpr size_t kReach = 8192;  // tokens back

}  // namespace

std::vector<text::TokenId> guess_next_tokens(std::span<const text::TokenId> text, int64_t most) {
  if (most <= 0) return {};
  if (text.size() > kReach) text = text.last(kReach);
  for (size_t length = kLongest; length >= kShortest; --length) {
    if (text.size() <= length) continue;
    const auto pattern = text.last(length);
    for (size_t begin = text.size() - length; begin-- > 0;) {
      if (!std::ranges::equal(text.subspan(begin, length), pattern)) continue;
      const auto next = text.subspan(begin + length);
      const size_t count = std::min(next.size(), static_cast<size_t>(most));
      return {next.begin(), next.begin() + static_cast<std::ptrdiff_t>(count)};
    }
  }
  return {};
}

}  // namespace rotor::runtime
