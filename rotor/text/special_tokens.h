// Which tokens begin and end texts, when a tokenizer is written for other programs.
#pragma once

#include <optional>

#include "rotor/formats/attachments.h"
#include "rotor/text/tokenizer.h"

namespace rotor::text {

struct SpecialTokenIds {
  std::optional<TokenId> bos, eos;
  bool add_bos = false;  ///< texts begin with bos
};

/// What the model's metadata say goes before what the tokenizer says. Throws Error naming an id that is not
/// below `vocab_size`.
SpecialTokenIds special_token_ids(const Tokenizer& tokenizer, const TextMetadata& text, int64_t vocab_size);

}  // namespace rotor::text
