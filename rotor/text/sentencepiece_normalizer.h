// SentencePiece's normalizer: rules from strings to strings, longest match first, then what becomes of
// spaces. It gives exactly what the library's gives.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rotor/text/piece_trie.h"
#include "rotor/text/sentencepiece_model.h"

namespace rotor::text {

/// Throws Error for rules with which Google's library would leave its memory, or take much of it: it walks
/// their tables without looking where these end, and has room for 32 keys that begin one text. An empty
/// `charsmap` has no rules.
void check_charsmap(std::string_view charsmap);

class SentencePieceNormalizer {
 public:
  /// `user_defined` outlives this object: its pieces are taken as they are.
  SentencePieceNormalizer(const SentencePieceModel& model, const PieceTrie& user_defined);

  /// `text` need not be valid UTF-8: a byte that is not becomes U+FFFD.
  std::string normalize(std::string_view text) const;

 private:
  /// What the beginning of `text`, not empty, becomes, and how many of its bytes that takes.
  std::pair<std::string_view, size_t> normalize_prefix(std::string_view text) const;
  /// The longest rule for the beginning of `text`; 0 bytes if there is none.
  std::pair<std::string_view, size_t> match_rule(std::string_view text) const;
  void find_plain_bytes(const PieceTrie& user_defined);

  const PieceTrie* user_defined_;
  std::vector<uint32_t> rules_;  // units of a Darts double array
  std::string results_;          // of the rules, each ended by a zero byte
  bool dummy_prefix_, dummy_suffix_;
  bool remove_extra_whitespaces_;
  std::string space_;
  /// ASCII bytes that stay as they are if nothing but ASCII follows.
  std::array<bool, 256> plain_{};
};

}  // namespace rotor::text
