// What the answers of chats and plain completions share: the head that every object of an answer begins with,
// usage, reasons, log-probabilities, and server-sent events. All is written as text: see json_text.h.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/server/api/api_context.h"
#include "runtime/server/api/text_group.h"
#include "runtime/server/http/http.h"

namespace rotor::runtime::server {

/// {"id":...,"object":...,"created":...,"model":...,"system_fingerprint":... without the end.
std::string answer_head(const ApiContext& context, const std::string& id, const std::string& object,
                        const std::string& model);

/// {"prompt_tokens":...}
std::string usage_json(const BatchUsage& usage);

/// "stop" or "length".
std::string_view finish_reason(const BatchProgress& progress);

/// Of a chat: {"content":[{"token","logprob","bytes","top_logprobs"}],"refusal":null}.
void append_chat_logprobs(std::string& out, const std::vector<BatchToken>& tokens,
                          const text::Tokenizer& tokenizer);

/// Of plain completions: {"tokens","token_logprobs","top_logprobs","text_offset"}. `offset`: characters of
/// the text before these tokens; it is moved behind them.
void append_logprobs(std::string& out, const std::vector<BatchToken>& tokens,
                     const text::Tokenizer& tokenizer, size_t& offset);

/// How many characters `text` has: the bytes that begin one.
size_t count_characters(std::string_view text);

/// How the pieces of an answer are made from what came.
struct AnswerWriter {
  /// Appends what is to be sent of text `index`. False: no more of this text is wanted.
  std::function<bool(std::string& out, size_t index, BatchProgress& progress)> take;
  /// Appends what comes behind the last text.
  std::function<void(std::string& out, const BatchUsage& usage)> end;
};

/// Waits for all texts and gives the answer as a whole, JSON or server-sent events. The group's texts are
/// handed in before this returns. Throws ApiError.
HttpResponse send_answer(const HttpRequest& request, std::shared_ptr<TextGroup> group, bool stream,
                         AnswerWriter writer);

}  // namespace rotor::runtime::server
