// POST /v1/chat/completions, the answer: text and calls of tools, whole or as a stream of chunks.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/server/api/answer.h"
#include "runtime/server/api/chat_request.h"
#include "runtime/server/api/tool_call_parser.h"

namespace rotor::runtime::server {

/// One choice of an answer, as it grows.
class ChatChoice {
 public:
  ChatChoice(const ChatRequest& request, ToolFormat format);

  /// What `progress` adds to the answer.
  std::vector<ToolDelta> take(const BatchProgress& progress);
  /// Whether no more of the text is wanted: the only call that may be there is whole.
  bool done() const { return is_done_; }
  /// Once progress.finished or done().
  std::string_view reason(const BatchProgress& progress) const;

 private:
  std::unique_ptr<ToolCallParser> parser_;  // nullptr: all is text
  bool is_done_ = false;
};

/// Writes chunks.
AnswerWriter stream_chat(const ApiContext& context, const ChatRequest& request);
/// Writes the answer as a whole.
AnswerWriter whole_chat(const ApiContext& context, const ChatRequest& request);

}  // namespace rotor::runtime::server
