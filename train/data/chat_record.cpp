// One function a shape; what is common to them, that answers are there, is checked at the end.
#include "train/data/chat_record.h"

#include <algorithm>
#include <array>
#include <utility>

#include "rotor/core/error.h"

namespace rotor::train {
namespace {

constexpr const char* kSpace = " \t\r\n";

bool is_blank(const std::string& text) {
  return text.find_first_not_of(kSpace) == std::string::npos;
}

const OrderedJson& field(const OrderedJson& object, const std::string& name, const std::string& where) {
  const auto found = object.find(name);
  if (found == object.end()) fail(where, ": expected the field \"", name, "\", found ", quote_json(object));
  return *found;
}

std::string text_of(const OrderedJson& value, const std::string& where) {
  if (!value.is_string()) fail(where, ": expected a text, found ", quote_json(value));
  return value.get<std::string>();
}

/// The field's text; "" if it is absent or null.
std::string optional_text(const OrderedJson& object, const std::string& name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? "" : text_of(*found, cat('"', name, '"'));
}

OrderedJson message(const std::string& role, const std::string& content) {
  return {{"role", role}, {"content", content}};
}

std::string role_of_sharegpt(const std::string& from) {
  static constexpr std::array<std::pair<const char*, const char*>, 12> kRoles = {{{"human", "user"},
                                                                                  {"user", "user"},
                                                                                  {"prompter", "user"},
                                                                                  {"gpt", "assistant"},
                                                                                  {"assistant", "assistant"},
                                                                                  {"chatgpt", "assistant"},
                                                                                  {"bot", "assistant"},
                                                                                  {"model", "assistant"},
                                                                                  {"bing", "assistant"},
                                                                                  {"system", "system"},
                                                                                  {"tool", "tool"},
                                                                                  {"observation", "tool"}}};
  const auto found = std::ranges::find_if(kRoles, [&](const auto& role) { return from == role.first; });
  if (found == kRoles.end()) {
    std::string names;
    for (const auto& [name, role] : kRoles) names += cat(names.empty() ? "" : ", ", name);
    fail("\"from\": expected one of ", names, ", found \"", from, "\"");
  }
  return found->second;
}

OrderedJson read_messages(const OrderedJson& list, const std::string& name) {
  if (!list.is_array() || list.empty()) {
    fail('"', name, "\": expected a list of messages, found ", quote_json(list));
  }
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string where = cat('"', name, "\", message ", i);
    if (!list[i].is_object()) fail(where, ": expected an object, found ", quote_json(list[i]));
    if (is_blank(text_of(field(list[i], "role", where), where + ": \"role\"")))
      fail(where, ": the role is empty");
    const OrderedJson& content = list[i].contains("content") ? list[i]["content"] : OrderedJson();
    const bool calls = list[i].contains("tool_calls");
    if (!content.is_string() && !content.is_array() && !(content.is_null() && calls)) {
      fail(where, ": \"content\": expected a text, found ", quote_json(content));
    }
  }
  return list;
}

OrderedJson read_sharegpt(const OrderedJson& line) {
  const OrderedJson& turns = line["conversations"];
  if (!turns.is_array() || turns.empty()) {
    fail("\"conversations\": expected a list of turns, found ", quote_json(turns));
  }
  OrderedJson messages = OrderedJson::array();
  const std::string system = optional_text(line, "system");
  if (!is_blank(system)) messages.push_back(message("system", system));
  for (size_t i = 0; i < turns.size(); ++i) {
    const std::string where = cat("\"conversations\", turn ", i);
    if (!turns[i].is_object()) fail(where, ": expected an object, found ", quote_json(turns[i]));
    const std::string from = text_of(field(turns[i], "from", where), where + ": \"from\"");
    const std::string value = text_of(field(turns[i], "value", where), where + ": \"value\"");
    messages.push_back(message(role_of_sharegpt(from), value));
  }
  return messages;
}

OrderedJson read_alpaca(const OrderedJson& line) {
  std::string prompt = text_of(line["instruction"], "\"instruction\"");
  const std::string input = optional_text(line, "input");
  if (!is_blank(input)) prompt += (is_blank(prompt) ? "" : "\n\n") + input;
  if (is_blank(prompt)) fail("\"instruction\": it is empty, and so is \"input\"");
  OrderedJson messages = OrderedJson::array();
  const std::string system = optional_text(line, "system");
  if (!is_blank(system)) messages.push_back(message("system", system));
  messages.push_back(message("user", prompt));
  messages.push_back(message("assistant", text_of(field(line, "output", "the line"), "\"output\"")));
  return messages;
}

void check_answers(const OrderedJson& messages) {
  bool answered = false;
  for (size_t i = 0; i < messages.size(); ++i) {
    const OrderedJson& m = messages[i];
    if (m["role"] != "assistant") continue;
    answered = true;
    const bool empty = m["content"].is_string() && is_blank(m["content"].get<std::string>());
    if (empty && !m.contains("tool_calls")) fail("message ", i, ": the assistant's answer is empty");
  }
  if (!answered) fail("expected an answer of the assistant, found none");
}

/// A text as a message of that role, or messages.
OrderedJson side(const OrderedJson& line, const std::string& name, const std::string& role) {
  const OrderedJson& value = field(line, name, "the line");
  if (value.is_string()) {
    if (is_blank(value.get<std::string>())) fail('"', name, "\": it is empty");
    return OrderedJson::array({message(role, value.get<std::string>())});
  }
  return read_messages(value, name);
}

}  // namespace

ChatRecord read_chat_record(const OrderedJson& line) {
  if (!line.is_object()) fail("expected an object, found ", quote_json(line));
  ChatRecord record;
  if (line.contains("messages")) {
    record.messages = read_messages(line["messages"], "messages");
    if (line.contains("tools")) record.tools = line["tools"];
  } else if (line.contains("conversations")) {
    record.messages = read_sharegpt(line);
  } else if (line.contains("instruction")) {
    record.messages = read_alpaca(line);
  } else if (line.contains("text")) {
    record.text = text_of(line["text"], "\"text\"");
    if (is_blank(record.text)) fail("\"text\": it is empty");
    return record;
  } else {
    fail("expected messages, conversations, instruction or text, found ", quote_json(line));
  }
  check_answers(record.messages);
  return record;
}

PreferenceRecord read_preference_record(const OrderedJson& line) {
  if (!line.is_object()) fail("expected an object, found ", quote_json(line));
  PreferenceRecord record;
  record.chosen = side(line, "chosen", "assistant");
  record.rejected = side(line, "rejected", "assistant");
  if (record.chosen == record.rejected) fail("\"chosen\" and \"rejected\" are the same");
  if (line.contains("prompt")) {
    record.prompt = side(line, "prompt", "user");
  } else {
    size_t common = 0;
    const size_t most = std::min(record.chosen.size(), record.rejected.size());
    while (common < most && record.chosen[common] == record.rejected[common]) ++common;
    if (common == 0) fail("expected \"prompt\", or chosen and rejected messages that begin alike");
    const auto cut = static_cast<OrderedJson::difference_type>(common);
    record.prompt = OrderedJson(record.chosen.begin(), record.chosen.begin() + cut);
    record.chosen.erase(record.chosen.begin(), record.chosen.begin() + cut);
    record.rejected.erase(record.rejected.begin(), record.rejected.begin() + cut);
  }
  for (const auto& [name, messages] : {std::pair{"chosen", &record.chosen}, {"rejected", &record.rejected}}) {
    if (messages->empty()) fail('"', name, "\": nothing follows the prompt");
    check_answers(*messages);
  }
  return record;
}

}  // namespace rotor::train
