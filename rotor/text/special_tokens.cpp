// The rules for begin and end of texts.
#include "rotor/text/special_tokens.h"

#include "rotor/core/error.h"

namespace rotor::text {

SpecialTokenIds special_token_ids(const Tokenizer& tokenizer, const TextMetadata& text, int64_t vocab_size) {
  const auto check = [&](const char* what, TokenId id) {
    if (id < 0 || id >= vocab_size)
      fail(what, ": expected a token id from 0 to ", vocab_size - 1, ", found ", id);
  };
  SpecialTokenIds ids;
  ids.bos = text.bos_token ? text.bos_token : tokenizer.bos();
  ids.add_bos = text.bos_token.has_value();
  ids.eos = text.stop_tokens.empty() ? tokenizer.eos() : text.stop_tokens[0];
  if (ids.bos) check("begin-of-text token", *ids.bos);
  if (ids.eos) check("end-of-text token", *ids.eos);
  for (const TokenId id : text.stop_tokens) check("stop token", id);
  return ids;
}

}  // namespace rotor::text
