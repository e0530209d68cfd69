// The `format` of a JSON schema, where a grammar can say it: each text that it makes is of the format, though
// of some (e-mail addresses, URIs) it makes the usual ones only.
#pragma once

#include <optional>
#include <string>

#include "runtime/grammar/grammar_builder.h"

namespace rotor::runtime::grammar {

/// The content of a string of that format, without quotes; nothing for a format that is not known.
std::optional<GrammarBuilder::Expression> compile_format(const std::string& name, GrammarBuilder& builder);

/// "date, time, ...".
std::string known_formats();

}  // namespace rotor::runtime::grammar
