// Tools in requests: what there is to call, what the model is told of it, and what a call must look like when
// the client demands one.
#pragma once

#include <string>
#include <vector>

#include "rotor/formats/ordered_json.h"
#include "rotor/text/chat_template.h"
#include "runtime/server/api/api_options.h"
#include "runtime/server/api/fields.h"
#include "runtime/server/api/tool_call_parser.h"

namespace rotor::runtime::server {

struct ToolRequest {
  enum class Choice { none, automatic, required };

  OrderedJson definitions;           ///< as the client sent them; null if there are none
  std::vector<std::string> names;    ///< of those that may be called
  std::vector<OrderedJson> schemas;  ///< of their arguments
  Choice choice = Choice::none;
  bool several = true;  ///< calls in one answer
};

/// The fields tools, tool_choice and parallel_tool_calls. Throws ApiError 400.
ToolRequest read_tools(Fields& fields, const ApiLimits& limits);

/// How a model was taught to call tools.
struct ToolStyle {
  ToolFormat format = ToolFormat::hermes;
  bool in_template = false;  ///< its template describes tools to it; else they are described in words of ours
};
/// Found out by letting the template write a chat with a tool in it.
ToolStyle tool_style(const text::ChatTemplate& chat_template);

/// For templates that know no tools: describes `definitions`, unless they are null, in the system's message,
/// and writes calls and what came of them as Hermes' models are used to.
void write_tools_as_text(OrderedJson& messages, const OrderedJson& definitions);

/// What an answer begins with that is a call, and the schema of the JSON behind that, which is all of it.
std::string call_prefix(ToolFormat format);
OrderedJson call_schema(ToolFormat format, const ToolRequest& tools);

}  // namespace rotor::runtime::server
