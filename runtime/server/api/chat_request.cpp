// Messages are read into what templates expect: one text a message, the arguments of calls as objects.
#include "runtime/server/api/chat_request.h"

#include <algorithm>
#include <array>

#include "rotor/text/chat_messages.h"
#include "rotor/text/text_guard.h"
#include "runtime/retrieval/question.h"

namespace rotor::runtime::server {
namespace {

constexpr size_t kMaxMessages = 4096;

/// A text, or the texts of its parts, a line break between them.
std::string read_content(const OrderedJson& content, const std::string& param) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) refuse(param, "a text or an array of parts", content);
  std::string text;
  for (size_t i = 0; i < content.size(); ++i) {
    const std::string name = cat(param, "[", i, "]");
    Fields part(content[i], name);
    const std::string type = part.need_text("type");
    if (type != "text" && type != "refusal")
      refuse(part.param("type"), "\"text\": this model reads nothing else", content[i]["type"]);
    text.append(i == 0 ? "" : "\n").append(part.need_text(type.c_str()));
  }
  return text;
}

/// The calls of an answer; their arguments as objects, if they are such.
OrderedJson read_calls(const OrderedJson& calls, const std::string& param) {
  OrderedJson read = OrderedJson::array();
  for (size_t i = 0; i < calls.size(); ++i) {
    Fields call(calls[i], cat(param, "[", i, "]"));
    if (call.text("type").value_or("function") != "function")
      refuse(call.param("type"), "\"function\"", calls[i]["type"]);
    call.need("function", "an object");
    Fields function(*call.object("function"), call.param("function"));
    OrderedJson arguments = function.need_text("arguments");
    try {
      OrderedJson parsed = parse_ordered_json(arguments.get<std::string>(), "arguments");
      if (parsed.is_object()) arguments = std::move(parsed);
    } catch (const Error&) {
      // As it is: what a model once said may be no JSON.
    }
    read.push_back(
        {{"id", call.text("id").value_or("")},
         {"type", "function"},
         {"function", {{"name", function.need_text("name")}, {"arguments", std::move(arguments)}}}});
  }
  return read;
}

OrderedJson read_message(const OrderedJson& json, const std::string& param) {
  constexpr std::array kRoles = {"system", "developer", "user", "assistant", "tool"};
  Fields fields(json, param);
  const std::string role = fields.need_text("role");
  if (std::ranges::find(kRoles, role) == kRoles.end())
    refuse(fields.param("role"), "system, developer, user, assistant or tool", json["role"]);
  // Templates know the older name.
  OrderedJson message = {{"role", role == "developer" ? "system" : role}};
  const OrderedJson* calls = role == "assistant" ? fields.array("tool_calls", kMaxMessages) : nullptr;
  const bool has_calls = calls != nullptr && !calls->empty();
  if (!has_calls) fields.need("content", "a text or an array of parts");
  const OrderedJson* content = fields.find("content");
  message["content"] = content == nullptr ? "" : read_content(*content, fields.param("content"));
  if (has_calls) message["tool_calls"] = read_calls(*calls, fields.param("tool_calls"));
  for (const char* name : {"name", "tool_call_id", "reasoning_content"}) {
    if (const auto text = fields.text(name)) message[name] = *text;
  }
  return message;
}

OrderedJson read_messages(Fields& fields) {
  fields.need("messages", "an array of messages");
  const OrderedJson& list = *fields.array("messages", kMaxMessages);
  if (list.empty()) refuse("messages", "expected at least one message, found none", "empty_array");
  OrderedJson messages = OrderedJson::array();
  for (size_t i = 0; i < list.size(); ++i)
    messages.push_back(read_message(list[i], cat("messages[", i, "]")));
  return messages;
}

text::ChatOptions read_template_options(Fields& fields, const OrderedJson& messages) {
  text::ChatOptions options;
  options.continue_final_message = fields.boolean("continue_final_message").value_or(false);
  options.add_generation_prompt =
      fields.boolean("add_generation_prompt").value_or(!options.continue_final_message);
  if (options.continue_final_message) {
    if (options.add_generation_prompt)
      refuse("continue_final_message", "cannot be with add_generation_prompt, which begins another message");
    if (messages.back()["role"] != "assistant")
      refuse("continue_final_message", "expected the last message to be the assistant's");
  }
  if (const OrderedJson* variables = fields.object("chat_template_kwargs"); variables != nullptr) {
    options.variables = *variables;
  }
  return options;
}

std::optional<int64_t> read_logprobs(Fields& fields, const ApiLimits& limits) {
  const bool wanted = fields.boolean("logprobs").value_or(false);
  const auto alternatives = fields.integer("top_logprobs", 0, limits.top_logprobs);
  if (alternatives && *alternatives > 0 && !wanted) refuse("top_logprobs", "needs \"logprobs\": true");
  if (!wanted) return std::nullopt;
  return alternatives.value_or(0);
}

/// A call that the client demands begins in the prompt, so that what the model says is its JSON.
void demand_call(ChatRequest& request, const ApiContext& context) {
  Constraint& constraint = request.generation.constraint;
  constraint.kind = Constraint::Kind::json_schema;
  constraint.schema = call_schema(context.tools().format, request.tools);
  constraint.param = "tool_choice";
  request.call_prefix = call_prefix(context.tools().format);
}

void refuse_modalities(Fields& fields) {
  fields.ignore({"web_search_options", "prediction"});
  if (fields.find("audio") != nullptr)
    refuse("audio", "is not supported: this model writes text", "unsupported_parameter");
  const OrderedJson* modalities = fields.array("modalities", 8);
  if (modalities != nullptr && *modalities != OrderedJson::array({"text"})) {
    refuse("modalities", "[\"text\"]", *modalities);
  }
}

}  // namespace

std::vector<text::TokenId> read_chat_prompt(Fields& fields, const ApiContext& context,
                                            const ToolRequest& tools, const std::string& behind,
                                            const std::string& sources) {
  OrderedJson messages = read_messages(fields);
  text::put_before_question(messages, sources);
  text::ChatOptions options = read_template_options(fields, messages);
  OrderedJson definitions = tools.choice == ToolRequest::Choice::none ? OrderedJson() : tools.definitions;
  const text::TextGuard guard(context.tokenizer(), {&messages, &definitions, &options.variables});
  guard.guard_messages(messages);
  guard.guard(definitions);
  guard.guard(options.variables);
  if (context.tools().in_template) {
    options.tools = std::move(definitions);
  } else {
    write_tools_as_text(messages, definitions);
  }
  std::string rendered;
  try {
    rendered = context.chat_template().render(messages, options);
  } catch (const ApiError&) {
    throw;
  } catch (const Error& e) {
    throw ApiError(400, e.what(), "messages", "chat_template_error");
  }
  return guard.encode(rendered + behind);
}

std::string read_question(Fields& fields) {
  return retrieval::search_question(read_messages(fields));
}

ChatRequest read_chat_request(Fields& fields, const ApiContext& context) {
  ChatRequest request;
  request.generation = read_generation(fields, context, -1);
  request.top_logprobs = read_logprobs(fields, context.options().limits);
  request.tools = read_tools(fields, context.options().limits);
  refuse_modalities(fields);
  using Choice = ToolRequest::Choice;
  if (request.tools.choice != Choice::none && request.generation.constraint.kind != Constraint::Kind::none) {
    refuse(request.generation.constraint.param,
           "cannot be with tools that may be called: set \"tool_choice\": \"none\"");
  }
  if (request.tools.choice == Choice::required) demand_call(request, context);
  request.prompt = read_chat_prompt(fields, context, request.tools, request.call_prefix);
  context.check_prompt(request.prompt, "messages", 1);
  return request;
}

}  // namespace rotor::runtime::server
