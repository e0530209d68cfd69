// Messages as people keep them: the array that chat APIs take.
#include "rotor/core/error.h"
#include "rotor/formats/atomic_file.h"
#include "runtime/chat/chat.h"

namespace rotor::runtime {

void check_messages(const OrderedJson& messages, const std::string& source) {
  if (!messages.is_array()) fail(source, ": expected an array of messages, found ", messages.type_name());
  for (size_t i = 0; i < messages.size(); ++i) {
    const OrderedJson& message = messages[i];
    const auto refuse = [&](const std::string& what) { fail(source, ": [", i, "]", what); };
    if (!message.is_object()) refuse(cat(": expected an object, found ", message.type_name()));
    for (const char* field : {"role", "content"}) {
      if (!message.contains(field)) refuse(cat(".", field, ": expected a text, found none"));
      if (!message[field].is_string())
        refuse(cat(".", field, ": expected a text, found ", message[field].type_name()));
    }
    const auto role = message["role"].get<std::string>();
    if (role == "system" && i == 0) continue;
    if (role != "user" && role != "assistant" && role != "tool") {
      refuse(cat(".role: expected user, assistant or tool", i == 0 ? " or system" : "", ", found \"", role,
                 "\""));
    }
  }
}

OrderedJson read_messages(const std::string& path) {
  OrderedJson messages = read_ordered_json_file(path);
  check_messages(messages, path);
  return messages;
}

void write_messages(const std::string& path, const OrderedJson& messages) {
  write_file(path, messages.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n");
}

}  // namespace rotor::runtime
