// What of a conversation is searched for.
#pragma once

#include <string>

#include "rotor/formats/ordered_json.h"

namespace rotor::runtime::retrieval {

/// The last message of the user. If that has at most four words, it is taken for a question that goes on
/// ("And in winter?"), and the user's message before it stands before it. Of each the last 1,000 bytes count,
/// which is where a long message asks. `messages`: {"role", "content"}, contents being texts. "" if the user
/// said nothing.
std::string search_question(const OrderedJson& messages);

}  // namespace rotor::runtime::retrieval
