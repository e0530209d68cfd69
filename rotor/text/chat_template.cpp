// What stands around a template: which one, which variables, what messages must be.
#include "rotor/text/chat_template.h"

#include <algorithm>
#include <array>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/text/jinja/json_value.h"
#include "rotor/text/jinja/python_text.h"

namespace rotor::text {
namespace {

constexpr const char* kDefault = "default";
constexpr size_t kMaxTemplateBytes = size_t{1} << 20;
/// Stands behind the message that goes on, to find its end in the text.
constexpr const char* kContinueTag = "CONTINUE_FINAL_MESSAGE_TAG ";

void expect_kind(bool is_right, const std::string& field, const char* expected, const OrderedJson& found) {
  if (!is_right) fail(field, ": expected ", expected, ", found ", quote_json(found));
}

void check_content(const OrderedJson& content, const std::string& field) {
  expect_kind(content.is_string() || content.is_array() || content.is_null(), field,
              "a text or an array of parts", content);
  if (!content.is_array()) return;
  for (size_t i = 0; i < content.size(); ++i) {
    const OrderedJson& part = content[i];
    const std::string name = cat(field, "[", i, "]");
    expect_kind(part.is_object() && part.contains("type"), name, "an object with a type", part);
    expect_kind(part["type"] == "text", name + ".type", "\"text\"", part["type"]);
    expect_kind(part.contains("text") && part["text"].is_string(), name + ".text", "a text",
                part.contains("text") ? part["text"] : OrderedJson());
  }
}

/// Checks the messages and gives what templates see, as transformers does: members that are null are taken
/// away, and a message's thoughts are found under the names that templates know.
OrderedJson prepare_messages(const OrderedJson& messages) {
  constexpr std::array kThoughts = {"reasoning_content", "thinking", "reasoning"};
  expect_kind(messages.is_array(), "messages", "an array", messages);
  OrderedJson prepared = OrderedJson::array();
  for (size_t i = 0; i < messages.size(); ++i) {
    const OrderedJson& message = messages[i];
    const std::string name = cat("messages[", i, "]");
    expect_kind(message.is_object(), name, "an object", message);
    if (!message.contains("role")) fail(name, ": role is missing");
    expect_kind(message["role"].is_string(), name + ".role", "a text", message["role"]);
    if (message.contains("content")) check_content(message["content"], name + ".content");
    OrderedJson plain = OrderedJson::object();
    const auto thought = std::ranges::find_if(
        kThoughts, [&](const char* key) { return message.contains(key) && !message[key].is_null(); });
    if (thought != kThoughts.end()) plain["thinking"] = message[*thought];
    for (const auto& [key, value] : message.items()) {
      if (!value.is_null()) plain[key] = value;
    }
    if (thought != kThoughts.end()) plain["reasoning_content"] = message[*thought];
    prepared.push_back(std::move(plain));
  }
  return prepared;
}

/// Puts kContinueTag behind the text of the last message, which is returned.
std::string mark_final_message(OrderedJson& messages, const std::string& source, const std::string& text) {
  if (messages.empty()) fail("continue_final_message: there are no messages");
  OrderedJson& message = messages.back();
  if (!message.contains("content")) fail("continue_final_message: the last message has no content");
  if (text.find("content") == std::string::npos)
    fail(source, ": continue_final_message: the template does not use content");
  OrderedJson* content = &message["content"];
  if (content->is_array()) {
    if (content->empty()) fail("continue_final_message: the last message has no text");
    content = &content->back()["text"];
  }
  std::string final_text = content->get<std::string>();
  *content = final_text + kContinueTag;
  return final_text;
}

/// The text up to kContinueTag. Throws Error if the template did not write the message there.
std::string cut_final_message(const std::string& rendered, const std::string& final_text,
                              const std::string& source) {
  using jinja::Side;
  using jinja::strip;
  const std::string_view tag = kContinueTag;
  const size_t at = rendered.rfind(strip(tag, Side::both));
  if (at == std::string::npos || rendered.find(strip(final_text, Side::both)) == std::string::npos)
    fail(source, ": continue_final_message: the template does not write the last message as it is");
  const std::string text = rendered.substr(0, at);
  // A template that trims messages took the tag's space away: it would have trimmed the message's, too.
  const bool is_kept = std::string_view(rendered).substr(at).starts_with(tag);
  return is_kept ? text : std::string(strip(text, Side::right));
}

}  // namespace

std::vector<std::pair<std::string, std::string>> named_templates(std::string_view text,
                                                                 const std::string& source) {
  if (!text.starts_with('[') || !OrderedJson::accept(text)) return {{kDefault, std::string(text)}};
  std::vector<std::pair<std::string, std::string>> templates;
  const OrderedJson list = parse_ordered_json(text, source);
  for (size_t i = 0; i < list.size(); ++i) {
    for (const char* key : {"name", "template"}) {
      const std::string field = cat(source, ": [", i, "]");
      expect_kind(list[i].is_object() && list[i].contains(key) && list[i][key].is_string(), field,
                  "an object with the texts name and template", list[i]);
    }
    const std::string name = list[i]["name"];
    if (std::ranges::any_of(templates, [&](const auto& other) { return other.first == name; }))
      fail(source, ": there are two templates named ", jinja::quote(name));
    templates.emplace_back(name, list[i]["template"]);
  }
  if (templates.empty()) fail(source, ": expected at least one template, found none");
  return templates;
}

std::string join_templates(const std::vector<std::pair<std::string, std::string>>& templates) {
  if (templates.size() == 1 && templates[0].first == kDefault) return templates[0].second;
  Json list = Json::array();
  for (const auto& [name, text] : templates) list.push_back({{"name", name}, {"template", text}});
  return dump_json(list);
}

std::string default_template(std::string_view text) {
  const auto templates = named_templates(text, "chat template");
  const auto found =
      std::ranges::find_if(templates, [](const auto& entry) { return entry.first == kDefault; });
  return found == templates.end() ? templates[0].second : found->second;
}

ChatTemplate::ChatTemplate(std::string_view text, std::string source,
                           std::map<std::string, std::string> special_tokens)
    : source_(std::move(source)), special_tokens_(std::move(special_tokens)) {
  if (text.size() > kMaxTemplateBytes)
    fail(source_, ": expected at most ", kMaxTemplateBytes, " bytes, found ", text.size());
  if (!jinja::is_valid_utf8(text)) fail(source_, ": expected UTF-8, found other bytes");
  auto parts = std::make_shared<std::map<std::string, Part>>();
  const auto templates = named_templates(text, source_);
  for (const auto& [name, part] : templates) {
    try {
      (*parts)[name] = {part, jinja::parse(part)};
    } catch (const Error& e) {
      fail(source_, templates.size() == 1 ? "" : cat(" (", name, ")"), ": ", e.what());
    }
  }
  parts_ = std::move(parts);
}

const ChatTemplate::Part& ChatTemplate::choose(const ChatOptions& options) const {
  std::string name = options.name;
  if (name.empty()) name = !options.tools.is_null() && parts_->contains("tool_use") ? "tool_use" : kDefault;
  const auto found = parts_->find(name);
  if (found != parts_->end()) return found->second;
  std::string all;
  for (const std::string& known : names()) all.append(all.empty() ? "" : ", ").append(known);
  fail(source_, ": there is no template named ", jinja::quote(name), ", but ", all);
}

jinja::Rendered ChatTemplate::run(const Part& part, const OrderedJson& messages, const ChatOptions& options,
                                  bool wants_generation) const {
  jinja::Dict variables;
  for (const auto& [name, token] : special_tokens_) {
    if (!jinja::is_valid_utf8(token)) fail(source_, ": ", name, ": expected UTF-8, found other bytes");
    variables.set(name, token);
  }
  expect_kind(options.tools.is_null() || options.tools.is_array(), "tools", "an array", options.tools);
  expect_kind(options.documents.is_null() || options.documents.is_array(), "documents", "an array",
              options.documents);
  expect_kind(options.variables.is_null() || options.variables.is_object(), "variables", "an object",
              options.variables);
  for (const auto& [name, value] : options.variables.items())
    variables.set(name, jinja::from_json(value, name));
  variables.set("messages", jinja::from_json(messages, "messages"));
  variables.set("tools", jinja::from_json(options.tools, "tools"));
  variables.set("documents", jinja::from_json(options.documents, "documents"));
  variables.set("add_generation_prompt", options.add_generation_prompt);
  const jinja::RenderInput input{jinja::make_dict(std::move(variables)),
                                 options.now.value_or(std::chrono::system_clock::now()), options.max_work,
                                 wants_generation};
  try {
    return jinja::Evaluator(part.parsed, input).render();
  } catch (const Error& e) {
    fail(source_, ": ", e.what());
  }
}

std::string ChatTemplate::render(const OrderedJson& messages, const ChatOptions& options) const {
  const Part& part = choose(options);
  OrderedJson prepared = prepare_messages(messages);
  if (!options.continue_final_message) return run(part, prepared, options, false).text;
  if (options.add_generation_prompt)
    fail("continue_final_message: a generation prompt would begin another message");
  const std::string final_text = mark_final_message(prepared, source_, part.text);
  return cut_final_message(run(part, prepared, options, false).text, final_text, source_);
}

ChatText ChatTemplate::render_with_answers(const OrderedJson& messages, const ChatOptions& options) const {
  const Part& part = choose(options);
  if (options.continue_final_message) fail("continue_final_message: answers are marked in whole chats only");
  const OrderedJson prepared = prepare_messages(messages);
  jinja::Rendered whole = run(part, prepared, options, true);
  if (part.parsed.has_generation) return {std::move(whole.text), std::move(whole.generation)};
  ChatText chat{std::move(whole.text), {}};
  OrderedJson first = OrderedJson::array();
  for (size_t i = 0; i < prepared.size(); ++i) {
    ChatOptions part_options = options;
    if (prepared[i]["role"] != "assistant") {
      first.push_back(prepared[i]);
      continue;
    }
    part_options.add_generation_prompt = true;
    const std::string prompt = run(part, first, part_options, false).text;
    first.push_back(prepared[i]);
    part_options.add_generation_prompt = false;
    const std::string answered = run(part, first, part_options, false).text;
    if (!answered.starts_with(prompt) || !chat.text.starts_with(answered)) {
      fail(source_, ": messages[", i, "]: the template writes ",
           answered.starts_with(prompt) ? "it otherwise when other messages follow"
                                        : "something else before it than the generation prompt",
           ", so where the answer is in the text is unknown; {% generation %} tags in the template would say "
           "it");
    }
    chat.answers.push_back({prompt.size(), answered.size()});
  }
  return chat;
}

bool ChatTemplate::has_generation_tags(const ChatOptions& options) const {
  return choose(options).parsed.has_generation;
}

std::vector<std::string> ChatTemplate::names() const {
  std::vector<std::string> names;
  for (const auto& [name, part] : *parts_) names.push_back(name);
  return names;
}

}  // namespace rotor::text
