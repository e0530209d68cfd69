// What every grammar that was accepted must do.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "runtime/grammar/grammar.h"

namespace rotor::fuzz {

/// Follows the grammar a few tokens, chosen by `choices`: something may always come, restrict() and allows()
/// say the same, and memory is bounded. An Error, about too much work, is let through.
void exercise_grammar(const std::shared_ptr<const runtime::grammar::Grammar>& grammar,
                      std::span<const uint8_t> choices);

}  // namespace rotor::fuzz
