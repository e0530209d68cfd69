// Guesses how a text goes on from what stands in it already: what came after its last tokens the last time.
// The model checks the guesses, many of them in one step (Leviathan et al. 2023, arXiv:2211.17192, without a
// draft model, as in prompt lookup decoding: Saxena 2023; transformers' prompt_lookup_num_tokens).
#pragma once

#include <cstdint>
#include <vector>

#include "rotor/text/tokenizer.h"

namespace rotor::runtime {

/// At most `most` tokens that came after the latest earlier place of the last three tokens of `text`, or of
/// the last two; nothing if they are new.
std::vector<text::TokenId> guess_next_tokens(std::span<const text::TokenId> text, int64_t most);

}  // namespace rotor::runtime
