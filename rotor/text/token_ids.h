// Token ids as people write them on a command line.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rotor/text/tokenizer.h"

namespace rotor::text {

/// Token ids, separated by spaces or commas: "1 2 3". Throws Error naming `flag` and the one that is no id
/// from 0 to vocab_size - 1, or if there is none.
std::vector<TokenId> parse_token_ids(const std::string& flag, const std::string& text, int64_t vocab_size);

}  // namespace rotor::text
