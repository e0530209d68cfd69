// Token by token to text that is shown as it comes: never half a UTF-8 character.
#pragma once

#include <string>
#include <string_view>

#include "rotor/text/tokenizer.h"

namespace rotor::text {

/// Length of the longest prefix of `text` that is valid UTF-8 (RFC 3629: no surrogates, no overlong forms).
size_t valid_utf8_prefix(std::string_view text);

/// Bytes at the start of `text`, which is not empty and does not start with a valid character, that one
/// U+FFFD stands for: the longest that could begin one, or 1 (Unicode Standard, section 3.9).
size_t invalid_utf8_length(std::string_view text);

class StreamDecoder {
 public:
  /// `tokenizer` must outlive this object. `continues`: text stands before these tokens, so SentencePiece
  /// keeps a space at their beginning.
  explicit StreamDecoder(const Tokenizer& tokenizer, bool continues = false)
      : tokenizer_(&tokenizer), first_(!continues) {}

  /// The text that `id` completes, perhaps none. Bytes that can no longer become a character are given out as
  /// U+FFFD.
  std::string push(TokenId id);
  /// What is left: U+FFFD if the stream ended within a character, else nothing.
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  std::string pending_;  // the beginning of a character
  bool first_;
};

}  // namespace rotor::text
