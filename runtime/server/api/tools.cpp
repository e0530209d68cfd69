// The form of ours is that of Hermes 2 Pro (Nous Research, 2024), which many models have met.
#include "runtime/server/api/tools.h"

#include <algorithm>

namespace rotor::runtime::server {
namespace {

constexpr const char* kInstructions =
    "You can call functions. Their signatures, one a line, within <tools></tools>:\n<tools>\n";
constexpr const char* kHowToCall =
    "</tools>\nTo call a function, answer with a JSON object of its name and arguments within "
    "<tool_call></tool_call>:\n<tool_call>\n{\"name\": <name>, \"arguments\": <arguments>}\n</tool_call>";

/// A function's schema refers to parts of itself by "#/...": they lie deeper in the schema of a call.
void move_references(OrderedJson& schema, const std::string& path) {
  if (schema.is_array()) {
    for (OrderedJson& item : schema) move_references(item, path);
  }
  if (!schema.is_object()) return;
  for (auto& [key, value] : schema.get_ref<OrderedJson::object_t&>()) {
    if (key == "$ref" && value.is_string() && value.get_ref<const std::string&>().starts_with('#')) {
      value = path + value.get<std::string>().substr(1);
    } else {
      move_references(value, path);
    }
  }
}

std::string read_function(const OrderedJson& tool, const std::string& path, OrderedJson& schema) {
  Fields fields(tool, path);
  if (fields.need_text("type") != "function") refuse(fields.param("type"), "\"function\"", tool["type"]);
  fields.need("function", "an object");
  Fields function(*fields.object("function"), fields.param("function"));
  std::string name = function.need_text("name");
  const bool is_name = !name.empty() && name.size() <= 64 && std::ranges::all_of(name, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.';
  });
  if (!is_name) {
    refuse(function.param("name"), "1 to 64 letters, digits, '_', '-' and '.'", tool["function"]["name"]);
  }
  static_cast<void>(function.text("description"));
  static_cast<void>(function.boolean("strict"));
  const OrderedJson* parameters = function.object("parameters");
  schema = parameters != nullptr && !parameters->empty() ? *parameters : OrderedJson{{"type", "object"}};
  return name;
}

void read_choice(Fields& fields, ToolRequest& tools) {
  const OrderedJson* choice = fields.find("tool_choice");
  tools.choice = tools.names.empty() ? ToolRequest::Choice::none : ToolRequest::Choice::automatic;
  if (choice == nullptr) return;
  const std::string expected =
      "\"none\", \"auto\", \"required\" or {\"type\": \"function\", \"function\": ...}";
  if (*choice == "auto") return;
  if (*choice == "none") {
    tools.choice = ToolRequest::Choice::none;
    return;
  }
  if (*choice != "required" && !choice->is_object()) refuse("tool_choice", expected, *choice);
  if (tools.names.empty()) refuse("tool_choice", "expected tools to choose from, found none");
  tools.choice = ToolRequest::Choice::required;
  if (*choice == "required") return;
  Fields named(*choice, "tool_choice");
  if (named.need_text("type") != "function") refuse("tool_choice.type", "\"function\"", (*choice)["type"]);
  named.need("function", "an object");
  Fields function(*named.object("function"), "tool_choice.function");
  const std::string name = function.need_text("name");
  const auto found = std::ranges::find(tools.names, name);
  if (found == tools.names.end())
    refuse("tool_choice.function.name", "the name of one of the tools", (*choice)["function"]["name"]);
  tools.schemas = {tools.schemas[static_cast<size_t>(found - tools.names.begin())]};
  tools.names = {name};
  tools.several = false;
}

std::string call_as_text(const OrderedJson& call) {
  const OrderedJson& function = call.at("function");
  const OrderedJson json = {{"name", function.at("name")}, {"arguments", function.at("arguments")}};
  return "<tool_call>\n" + json.dump() + "\n</tool_call>";
}

std::string content_of(const OrderedJson& message) {
  const auto found = message.find("content");
  return found == message.end() || !found->is_string() ? "" : found->get<std::string>();
}

OrderedJson probe_tool(const std::string& name) {
  return {{"type", "function"},
          {"function",
           {{"name", name},
            {"description", "d"},
            {"parameters", {{"type", "object"}, {"properties", OrderedJson::object()}}}}}};
}

}  // namespace

ToolRequest read_tools(Fields& fields, const ApiLimits& limits) {
  ToolRequest tools;
  for (const char* old : {"functions", "function_call"}) {
    if (fields.find(old) != nullptr)
      refuse(old, "is no longer supported: use tools and tool_choice", "unsupported_parameter");
  }
  tools.several = fields.boolean("parallel_tool_calls").value_or(true);
  if (const OrderedJson* list = fields.array("tools", static_cast<size_t>(limits.tools)); list != nullptr) {
    for (size_t i = 0; i < list->size(); ++i) {
      OrderedJson schema;
      const std::string name = read_function((*list)[i], cat("tools[", i, "]"), schema);
      if (std::ranges::find(tools.names, name) != tools.names.end())
        refuse(cat("tools[", i, "].function.name"), cat("there are two tools named ", name));
      tools.names.push_back(name);
      tools.schemas.push_back(std::move(schema));
    }
    if (!list->empty()) tools.definitions = *list;
  }
  read_choice(fields, tools);
  return tools;
}

ToolStyle tool_style(const text::ChatTemplate& chat_template) {
  const std::string name = "probe_of_tools";
  const std::string argument = "probe_of_arguments";
  const auto render = [&](const OrderedJson& messages, const OrderedJson& tools) {
    try {
      text::ChatOptions options;
      options.tools = tools;
      return chat_template.render(messages, options);
    } catch (const Error&) {
      return std::string();  // a template may refuse what it does not know
    }
  };
  const OrderedJson tools = OrderedJson::array({probe_tool(name)});
  const OrderedJson question = {{"role", "user"}, {"content", "q"}};
  ToolStyle style;
  const std::string described = render(OrderedJson::array({question}), tools);
  style.in_template = described.find(name) != std::string::npos;
  if (!style.in_template) return style;
  // Mistral's ids have nine characters.
  const OrderedJson call = {{"id", "a1b2c3d4e"},
                            {"type", "function"},
                            {"function", {{"name", name}, {"arguments", {{argument, 1}}}}}};
  OrderedJson answer = {{"role", "assistant"}, {"content", ""}};
  answer["tool_calls"] = OrderedJson::array({call});
  std::string called = render(OrderedJson::array({question, answer}), tools);
  called.erase(0, std::min(called.size(), called.rfind("q", called.find(argument))));
  if (called.find(argument) == std::string::npos) called = described;
  if (called.find("[TOOL_CALLS]") != std::string::npos) {
    style.format = ToolFormat::mistral;
  } else if (called.find("<tool_call>") == std::string::npos &&
             called.find("\"parameters\"") != std::string::npos) {
    style.format = ToolFormat::llama;
  }
  return style;
}

void write_tools_as_text(OrderedJson& messages, const OrderedJson& definitions) {
  OrderedJson written = OrderedJson::array();
  for (OrderedJson& message : messages) {
    std::string content = content_of(message);
    if (const auto calls = message.find("tool_calls"); calls != message.end()) {
      for (const OrderedJson& call : *calls) {
        content.append(content.empty() ? "" : "\n").append(call_as_text(call));
      }
      written.push_back({{"role", "assistant"}, {"content", content}});
    } else if (message["role"] == "tool") {
      content = "<tool_response>\n" + content + "\n</tool_response>";
      // Answers of several calls are one message, so that roles alternate.
      if (!written.empty() && content_of(written.back()).ends_with("</tool_response>") &&
          written.back()["role"] == "user") {
        written.back()["content"] = content_of(written.back()) + "\n" + content;
      } else {
        written.push_back({{"role", "user"}, {"content", content}});
      }
    } else {
      written.push_back(std::move(message));
    }
  }
  messages = std::move(written);
  if (definitions.is_null()) return;
  std::string text = kInstructions;
  for (const OrderedJson& tool : definitions) text += tool.at("function").dump() + "\n";
  text += kHowToCall;
  if (!messages.empty() && messages[0]["role"] == "system") {
    messages[0]["content"] = content_of(messages[0]) + "\n\n" + text;
  } else {
    messages.insert(messages.begin(), OrderedJson{{"role", "system"}, {"content", text}});
  }
}

std::string call_prefix(ToolFormat format) {
  switch (format) {
    case ToolFormat::hermes:
      return "<tool_call>\n";
    case ToolFormat::mistral:
      return "[TOOL_CALLS]";
    case ToolFormat::llama:
      break;
  }
  return "";
}

OrderedJson call_schema(ToolFormat format, const ToolRequest& tools) {
  const char* key = format == ToolFormat::llama ? "parameters" : "arguments";
  const bool in_list = format == ToolFormat::mistral;
  const std::string root = in_list ? "#/items" : "#";
  OrderedJson choices = OrderedJson::array();
  for (size_t i = 0; i < tools.names.size(); ++i) {
    OrderedJson schema = tools.schemas[i];
    move_references(schema, root + (tools.names.size() > 1 ? cat("/anyOf/", i) : "") + "/properties/" + key);
    choices.push_back({{"type", "object"},
                       {"properties", {{"name", {{"const", tools.names[i]}}}, {key, std::move(schema)}}},
                       {"required", {"name", key}},
                       {"additionalProperties", false}});
  }
  OrderedJson call = choices.size() == 1 ? choices[0] : OrderedJson{{"anyOf", choices}};
  if (!in_list) return call;
  OrderedJson list = {{"type", "array"}, {"items", std::move(call)}, {"minItems", 1}};
  if (!tools.several) list["maxItems"] = 1;
  return list;
}

}  // namespace rotor::runtime::server
