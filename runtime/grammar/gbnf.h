// Grammars as texts, in the notation of llama.cpp (docs/structured-output.md).
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "runtime/grammar/grammar.h"
#include "runtime/grammar/grammar_builder.h"

namespace rotor::runtime::grammar {

/// Calls of rules that may be open at once in texts of GBNF grammars.
inline constexpr uint32_t kGbnfDepth = 256;

/// The grammar of `text`, which begins with rule `root`. Throws Error naming `source`, line, column, expected
/// and found, and for what GrammarBuilder::build() refuses.
std::shared_ptr<const Grammar> parse_gbnf(std::string_view text, const std::string& source);

/// Reads the rules of `text` into `builder`, and returns the one named `root`.
GrammarBuilder::Rule add_gbnf(std::string_view text, const std::string& source, GrammarBuilder& builder);

}  // namespace rotor::runtime::grammar
