// What is done to the messages of a chat before a template writes them.
#pragma once

#include <string>

#include "rotor/formats/ordered_json.h"

namespace rotor::text {

/// Puts `text` right before what the user said last: where sources stand in a prompt. Nothing is done if the
/// user said nothing. `messages`: {"role", "content"}, contents being texts.
void put_before_question(OrderedJson& messages, const std::string& text);

}  // namespace rotor::text
