// Lines of chat data in the shapes that people have them in, as one: a list of messages.
#pragma once

#include <string>
#include <vector>

#include "rotor/formats/ordered_json.h"

namespace rotor::train {

/// A conversation, or a text without roles.
struct ChatRecord {
  OrderedJson messages;  ///< [{"role": ..., "content": ...}, ...]; null for a plain text
  OrderedJson tools;     ///< what a template shows of tools; null if the line has none
  std::string text;      ///< of a plain text

  bool is_text() const { return messages.is_null(); }
};

/// A prompt with an answer that is liked better than another one.
struct PreferenceRecord {
  OrderedJson prompt;  ///< messages
  OrderedJson chosen;  ///< messages that go on from there
  OrderedJson rejected;
};

/// A line that was parsed, by its keys:
///
/// - `messages`: as OpenAI's chat format has them; `tools` beside it is kept.
/// - `conversations`: ShareGPT's turns {"from", "value"}; human and user, gpt, assistant and others are
///   renamed; `system` beside it comes first.
/// - `instruction`, `input`, `output`: Alpaca's; the input, if there is one, stands under the instruction.
/// - `text`: no roles.
///
/// Throws Error saying what is wrong: none of these, a field of another type, a role without a name, no
/// answer of the assistant, an empty one.
ChatRecord read_chat_record(const OrderedJson& line);

/// `prompt`, `chosen` and `rejected`, each a text or messages; without `prompt`, what both begin with.
/// Throws Error as above, and if chosen and rejected are the same.
PreferenceRecord read_preference_record(const OrderedJson& line);

}  // namespace rotor::train
