// Cuts a template into text, tags and the tokens inside of tags. White space around tags is dealt with here,
// with trim_blocks and lstrip_blocks on, as transformers sets them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rotor/text/jinja/value.h"

namespace rotor::text::jinja {

struct Token {
  enum class Type { text, begin_print, end_print, begin_block, end_block, name, string, number, op, end };
  Type type;
  int line;
  std::string text;  ///< of a name, an operator; of text and strings what they say
  Value number;
};

/// The tokens of `source`, the last one of type end. Throws Error "line N: ...".
std::vector<Token> tokenize(std::string_view source);

}  // namespace rotor::text::jinja
