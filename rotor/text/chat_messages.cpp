#include "rotor/text/chat_messages.h"

#include <algorithm>

namespace rotor::text {

void put_before_question(OrderedJson& messages, const std::string& text) {
  const auto last = std::find_if(messages.rbegin(), messages.rend(),
                                 [](const auto& message) { return message.at("role") == "user"; });
  if (last != messages.rend()) (*last)["content"] = text + (*last)["content"].get<std::string>();
}

}  // namespace rotor::text
