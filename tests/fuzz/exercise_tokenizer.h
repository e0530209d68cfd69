// Uses a tokenizer that a hostile file gave, in every way in which the programs do.
#pragma once

#include <string_view>

#include "rotor/text/tokenizer.h"

namespace rotor::fuzz {

/// Encodes a probe and `sample` (its first bytes), decodes them at once and as a stream, and attaches. Aborts
/// if an id is out of range, or, with `texts_come_back`, if a text does not come back.
void exercise(const text::Tokenizer& tokenizer, std::string_view sample, bool texts_come_back);

}  // namespace rotor::fuzz
