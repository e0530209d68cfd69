// The special tokens of a tokenizer, and where they stand in a text. Where several begin at one place, the
// longest counts.
#pragma once

#include <array>
#include <concepts>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rotor/formats/bpe_tables.h"
#include "rotor/text/tokenizer.h"

namespace rotor::text {

class SpecialTokenTable {
 public:
  using Entry = std::pair<std::string_view, TokenId>;  ///< name, id
  /// `begin` is the length of the text, and `token` nullptr, if there is none.
  struct Place {
    size_t begin;
    const Entry* token;
  };

  SpecialTokenTable() = default;
  /// Names are not copied. One that is empty stands in no text.
  explicit SpecialTokenTable(std::vector<Entry> entries);
  /// The special tokens of `tables`. Throws Error for an id that is no token.
  explicit SpecialTokenTable(const BpeTables& tables);

  /// Longest first.
  std::span<const Entry> entries() const { return entries_; }
  std::vector<std::pair<std::string, TokenId>> copy() const { return {entries_.begin(), entries_.end()}; }
  std::optional<TokenId> find(std::string_view name) const;
  /// The first special token in `text` from `begin` on.
  Place next(std::string_view text, size_t begin) const;

  /// Calls on_text(std::string_view) and on_token(TokenId) in the order of `text`, never with an empty text.
  template <std::invocable<std::string_view> OnText, std::invocable<TokenId> OnToken>
  void split(std::string_view text, const OnText& on_text, const OnToken& on_token) const {
    for (size_t begin = 0; begin < text.size();) {
      const Place place = next(text, begin);
      if (place.begin > begin) on_text(text.substr(begin, place.begin - begin));
      if (place.token == nullptr) return;
      on_token(place.token->second);
      begin = place.begin + place.token->first.size();
    }
  }

 private:
  std::vector<Entry> entries_;
  std::array<bool, 256> is_first_byte_{};
};

/// The ids of `specials`, each once, longest name first, as tables have them. Throws Error naming `kind` for
/// a name that is not the token of its id.
std::vector<uint32_t> special_ids_of(std::string_view kind,
                                     std::vector<std::pair<std::string, TokenId>> specials,
                                     std::span<const std::string> tokens);

}  // namespace rotor::text
