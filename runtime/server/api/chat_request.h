// POST /v1/chat/completions, the request: messages and tools become a prompt, in which nothing that a client
// wrote is a special token.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "runtime/retrieval/retrieval.h"
#include "runtime/server/api/api_context.h"
#include "runtime/server/api/generation_fields.h"
#include "runtime/server/api/tools.h"

namespace rotor::runtime::server {

struct ChatRequest {
  GenerationFields generation;
  std::vector<text::TokenId> prompt;
  std::optional<int64_t> top_logprobs;  ///< alternatives of each token; none: no log-probabilities
  ToolRequest tools;
  std::optional<retrieval::Retrieval> retrieval;  ///< if the server has a knowledge base
  std::string call_prefix;  ///< what the answer begins with, if it must be a call; part of the prompt
};

/// Its prompt is without sources. Throws ApiError.
ChatRequest read_chat_request(Fields& fields, const ApiContext& context);

/// The prompt of the fields messages, add_generation_prompt, continue_final_message and chat_template_kwargs,
/// and what comes behind it; `sources`, which may be empty, stands right before the user's last message.
/// Throws ApiError 400 naming the message and field, also for what the template refuses.
std::vector<text::TokenId> read_chat_prompt(Fields& fields, const ApiContext& context,
                                            const ToolRequest& tools, const std::string& behind,
                                            const std::string& sources = "");

/// What of the field messages a knowledge base is asked; "" if the user said nothing.
std::string read_question(Fields& fields);

}  // namespace rotor::runtime::server
