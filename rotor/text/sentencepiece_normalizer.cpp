// The rules lie in the model as the library compiled them: a 32-bit length, a double array of Darts (a trie
// over bytes), and the results. A unit of the array: bit 31 marks a value (bits 0 to 30); else bits 0 to 7
// are the byte that leads here, bit 8 says that a key ends here, and bits 10 to 30, shifted left by 8 if bit
// 9 is set, are what the place of the unit is combined with (exclusive or) for its children.
#include "rotor/text/sentencepiece_normalizer.h"

#include <algorithm>
#include <cstring>

#include "rotor/core/error.h"
#include "rotor/text/stream_decoder.h"

namespace rotor::text {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

uint32_t offset_of(uint32_t unit) {
  return (unit >> 10) << ((unit & 0x200) != 0 ? 8 : 0);
}

bool is_ascii(char c) {
  return static_cast<uint8_t>(c) < 0x80;
}

/// The parts of a charsmap.
struct Rules {
  std::vector<uint32_t> units;
  std::string_view results;
};

/// No units if the length does not fit.
Rules split_charsmap(std::string_view charsmap) {
  Rules rules;
  uint32_t bytes = 0;
  if (charsmap.size() <= sizeof(bytes)) return rules;
  std::memcpy(&bytes, charsmap.data(), sizeof(bytes));
  charsmap.remove_prefix(sizeof(bytes));
  if (bytes > charsmap.size()) return rules;
  rules.units.resize(bytes / sizeof(uint32_t));
  if (!rules.units.empty())
    std::memcpy(rules.units.data(), charsmap.data(), rules.units.size() * sizeof(uint32_t));
  rules.results = charsmap.substr(bytes);
  return rules;
}

/// Walks every path of a double array once.
class RulesCheck {
 public:
  explicit RulesCheck(const Rules& rules) : rules_(rules), keys_from_(rules.units.size(), kUnseen) {}

  void run() {
    if (rules_.units.empty()) fail("normalizer: no double array");
    keys_from(offset_of(rules_.units[0]), 0);
  }

 private:
  static constexpr uint8_t kUnseen = 255;
  static constexpr uint8_t kOpen = 254;
  static constexpr uint8_t kMostKeys = 32;
  static constexpr size_t kLongestKey = 256;
  static constexpr size_t kLongestResult = 1024;

  /// How many keys end behind `base` on one path, at most. `depth`: bytes before it.
  uint8_t keys_from(uint32_t base, size_t depth) {
    if ((base | 0xFFU) >= rules_.units.size()) fail("normalizer: a rule leaves the double array");
    if (keys_from_[base] == kOpen) fail("normalizer: the rules go in a circle");
    if (keys_from_[base] != kUnseen) return keys_from_[base];
    if (depth > kLongestKey) fail("normalizer: a rule of more than ", kLongestKey, " bytes");
    keys_from_[base] = kOpen;
    uint8_t most = 0;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const uint32_t place = base ^ byte;
      const uint32_t unit = rules_.units[place];
      if ((unit & 0x800000FF) != byte) continue;
      const uint32_t next = place ^ offset_of(unit);
      const bool ends = (unit & 0x100) != 0;
      const auto keys = static_cast<uint8_t>(keys_from(next, depth + 1) + (ends ? 1 : 0));
      if (keys > kMostKeys) fail("normalizer: more than ", int{kMostKeys}, " rules begin one text");
      if (ends) check_result(rules_.units[next] & 0x7FFFFFFF);
      most = std::max(most, keys);
    }
    return keys_from_[base] = most;
  }

  void check_result(size_t begin) const {
    if (begin >= rules_.results.size()) fail("normalizer: a result lies behind the rules");
    if (rules_.results.substr(begin, kLongestResult + 1).find('\0') == std::string_view::npos)
      fail("normalizer: a result of more than ", kLongestResult, " bytes, or without an end");
  }

  const Rules& rules_;
  std::vector<uint8_t> keys_from_;  // by base
};

}  // namespace

void check_charsmap(std::string_view charsmap) {
  if (charsmap.empty()) return;
  const Rules rules = split_charsmap(charsmap);
  RulesCheck(rules).run();
}

SentencePieceNormalizer::SentencePieceNormalizer(const SentencePieceModel& model,
                                                 const PieceTrie& user_defined)
    : user_defined_(&user_defined),
      dummy_prefix_(model.add_dummy_prefix && !model.whitespace_is_suffix),
      dummy_suffix_(model.add_dummy_prefix && model.whitespace_is_suffix),
      remove_extra_whitespaces_(model.remove_extra_whitespaces),
      space_(model.escape_whitespaces ? kSpaceSymbol : std::string_view(" ")) {
  Rules rules = split_charsmap(model.charsmap);
  rules_ = std::move(rules.units);
  results_ = rules.results;
  find_plain_bytes(user_defined);
}

void SentencePieceNormalizer::find_plain_bytes(const PieceTrie& user_defined) {
  for (int first = 0; first < 0x80; ++first) {
    const auto byte = static_cast<char>(first);
    bool plain =
        byte != ' ' && user_defined.child(PieceTrie::kRoot, static_cast<uint8_t>(first)) == PieceTrie::kNone;
    // A rule for the byte alone shows as a match, one for it and another ASCII byte as a step in the trie.
    if (plain && !rules_.empty()) {
      const auto step = [&](uint32_t& place, char label) {
        place ^= static_cast<uint8_t>(label);
        if (place >= rules_.size() || (rules_[place] & 0x800000FF) != static_cast<uint8_t>(label))
          return false;
        place ^= offset_of(rules_[place]);
        return true;
      };
      plain = match_rule({&byte, 1}).second == 0;
      uint32_t start = offset_of(rules_[0]);
      const bool begins_rules = step(start, byte);
      for (int second = 0; plain && begins_rules && second < 0x80; ++second) {
        uint32_t place = start;
        plain = !step(place, static_cast<char>(second));
      }
    }
    plain_[static_cast<size_t>(first)] = plain;
  }
}

std::pair<std::string_view, size_t> SentencePieceNormalizer::match_rule(std::string_view text) const {
  std::pair<std::string_view, size_t> longest = {{}, 0};
  if (rules_.empty()) return longest;
  uint32_t place = offset_of(rules_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    place ^= static_cast<uint8_t>(text[i]);
    if (place >= rules_.size()) break;
    const uint32_t unit = rules_[place];
    if ((unit & 0x800000FF) != static_cast<uint8_t>(text[i])) break;
    place ^= offset_of(unit);
    if ((unit & 0x100) == 0 || place >= rules_.size()) continue;
    const size_t result = rules_[place] & 0x7FFFFFFF;
    if (result < results_.size()) {
      const std::string_view rest = std::string_view(results_).substr(result);
      longest = {rest.substr(0, rest.find('\0')), i + 1};
    }
  }
  return longest;
}

std::pair<std::string_view, size_t> SentencePieceNormalizer::normalize_prefix(std::string_view text) const {
  if (const size_t length = user_defined_->longest_prefix(text); length > 0)
    return {text.substr(0, length), length};
  if (const auto rule = match_rule(text); rule.second > 0) return rule;
  for (size_t length = 1; length <= 4 && length <= text.size(); ++length) {
    if (valid_utf8_prefix(text.substr(0, length)) == length) return {text.substr(0, length), length};
  }
  return {kReplacement, 1};
}

std::string SentencePieceNormalizer::normalize(std::string_view text) const {
  std::string result;
  while (remove_extra_whitespaces_ && !text.empty()) {
    const auto [prefix, length] = normalize_prefix(text);
    if (prefix != " ") break;
    text.remove_prefix(length);
  }
  if (text.empty()) return result;
  result.reserve(text.size() + text.size() / 2);
  if (dummy_prefix_) result += space_;
  bool after_space = remove_extra_whitespaces_;
  for (size_t i = 0; i < text.size();) {
    if (plain_[static_cast<uint8_t>(text[i])] && (i + 1 == text.size() || is_ascii(text[i + 1]))) {
      result += text[i++];
      after_space = false;
      continue;
    }
    auto [prefix, length] = normalize_prefix(text.substr(i));
    i += length;
    while (after_space && prefix.starts_with(' ')) prefix.remove_prefix(1);
    if (prefix.empty()) continue;
    for (const char c : prefix) {
      if (c == ' ') {
        result += space_;
      } else {
        result += c;
      }
    }
    after_space = remove_extra_whitespaces_ && prefix.ends_with(' ');
  }
  while (remove_extra_whitespaces_ && result.ends_with(space_)) result.resize(result.size() - space_.size());
  if (dummy_suffix_) result += space_;
  return result;
}

}  // namespace rotor::text
