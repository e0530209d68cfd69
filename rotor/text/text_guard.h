// Keeps what people write from being taken for special tokens in a prompt that a chat template makes: a
// message that says "<|eot_id|>" says eleven characters, and ends no message.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rotor/formats/ordered_json.h"
#include "rotor/text/special_token_table.h"
#include "rotor/text/tokenizer.h"

namespace rotor::text {

/// A special token's text is broken by a mark behind its first character before a template sees it; the mark
/// is taken out again when the prompt is encoded. Texts without special tokens go through templates as they
/// are. The mark is eight characters that no text has (noncharacters of Unicode, 24 bytes), all but the first
/// drawn at random, until no text has them.
class TextGuard {
 public:
  /// `tokenizer` must outlive the guard. `texts`: all that is guarded, or that a template adds itself.
  /// `random`: what draws the mark, a number of 32 bits each time; a test may say what comes.
  TextGuard(const Tokenizer& tokenizer, const std::vector<const OrderedJson*>& texts,
            const std::function<uint32_t()>& random = draw);
  TextGuard(const TextGuard&) = delete;
  TextGuard& operator=(const TextGuard&) = delete;

  /// Marks the special tokens in all texts that `value` holds, keys included, but those in `allowed`.
  void guard(OrderedJson& value, const std::vector<std::string_view>& allowed = {}) const;
  std::string guard(std::string_view text, const std::vector<std::string_view>& allowed = {}) const;
  /// The same for an array of messages. What the assistant said may hold the marks of a model's thoughts and
  /// calls, as "</think>", which templates look for: they begin and end no message.
  void guard_messages(OrderedJson& messages) const;

  /// `rendered` without marks.
  std::string plain(std::string_view rendered) const;
  /// The tokens of `rendered`: special ones where their texts stand unmarked.
  std::vector<TokenId> encode(std::string_view rendered) const;

 private:
  static uint32_t draw();
  const Tokenizer& tokenizer_;
  const std::vector<std::pair<std::string, TokenId>> names_;
  SpecialTokenTable specials_;  // of these names
  std::string mark_;
};

}  // namespace rotor::text
