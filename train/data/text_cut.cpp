// Candidates are tried with the tokenizer itself, so that no rule has to know its kind.
#include "train/data/text_cut.h"

#include <algorithm>
#include <optional>
#include <vector>

namespace rotor::train {
namespace {

constexpr size_t kContextBytes = 64;
constexpr size_t kSearchBytes = size_t{64} << 10;
constexpr int kMaxTries = 32;

bool is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

bool is_continuation(char c) {
  return (static_cast<uint8_t>(c) & 0xC0U) == 0x80;
}

std::vector<text::TokenId> encode(const text::Tokenizer& tokenizer, std::string_view text) {
  return tokenizer.encode(text, text::SpecialTokens::as_text);
}

/// Whether the surroundings of `cut` give the same tokens in two parts as in one.
bool keeps_tokens(std::string_view text, size_t from, const TextCut& cut, const text::Tokenizer& tokenizer) {
  size_t begin = cut.position - std::min(cut.position - from, kContextBytes);
  while (begin < cut.position && is_continuation(text[begin])) ++begin;
  const size_t end = character_start(text, std::min(cut.position + kContextBytes, text.size()));
  std::vector<text::TokenId> parts = encode(tokenizer, text.substr(begin, cut.position - begin));
  const size_t next = cut.position + cut.skipped;
  const auto right = encode(tokenizer, text.substr(next, end - next));
  parts.insert(parts.end(), right.begin(), right.end());
  return parts == encode(tokenizer, text.substr(begin, end - begin));
}

}  // namespace

size_t character_start(std::string_view text, size_t position) {
  for (size_t back = 0; back < 4 && back <= position; ++back) {
    const size_t place = position - back;
    if (place == text.size() || !is_continuation(text[place])) return place;
  }
  return position;  // no UTF-8: whoever reads it will say so
}

TextCut find_cut(std::string_view text, size_t from, size_t piece_bytes, const text::Tokenizer& tokenizer) {
  if (text.size() - from <= piece_bytes) return {text.size(), 0};
  const size_t target = from + piece_bytes;
  const size_t lowest = target - std::min(piece_bytes / 2, kSearchBytes);
  std::optional<TextCut> first;
  int tries = 0;
  for (size_t place = target; place > lowest && tries < kMaxTries; --place) {
    const bool behind_line = text[place - 1] == '\n' && !is_space(text[place]);
    const bool before_space = text[place] == ' ' && !is_space(text[place - 1]);
    if (!behind_line && !before_space) continue;
    ++tries;
    const bool may_skip = before_space && place + 1 < text.size();  // the next piece must not be empty
    for (size_t skipped = 0; skipped <= (may_skip ? 1U : 0U); ++skipped) {
      const TextCut cut{place, skipped};
      if (keeps_tokens(text, from, cut, tokenizer)) return cut;
    }
    if (!first) first = TextCut{place, 0};
  }
  return first ? *first : TextCut{character_start(text, target), 0};
}

}  // namespace rotor::train
