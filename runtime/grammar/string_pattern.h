// The `pattern` of a JSON schema: a regular expression of ECMAScript as part of a grammar. What no grammar
// can say (look-around, back references) or what readers disagree about (word boundaries, \p) is refused.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/grammar/json_pieces.h"

namespace rotor::runtime::grammar {

/// The content of a JSON string, without its quotes, and how many characters it has.
struct StringContent {
  GrammarBuilder::Expression expression;
  int64_t min_length = 0;
  int64_t max_length = 0;  ///< GrammarBuilder::kUnlimited: no limit
};

/// All strings in which `pattern` is found, as JSON Schema has it: anywhere, unless it is anchored by ^ and
/// $. Throws Error naming `where`, place in the pattern, expected and found.
StringContent compile_pattern(const std::string& pattern, const std::string& where, JsonPieces& pieces);

}  // namespace rotor::runtime::grammar
