// POST /v1/completions, the request: prompts as texts or token ids, which are the program's own, so special
// tokens in them are parsed unless it says otherwise.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "runtime/server/api/api_context.h"
#include "runtime/server/api/generation_fields.h"

namespace rotor::runtime::server {

struct Prompt {
  std::vector<text::TokenId> ids;
  std::string text;
};

struct CompletionRequest {
  GenerationFields generation;
  std::vector<Prompt> prompts;
  int64_t best_of = 1;                  ///< texts of each prompt, of which the n likeliest are given
  std::optional<int64_t> top_logprobs;  ///< as ChatRequest's
  bool echo = false;                    ///< the prompt goes before the text
};

/// Throws ApiError.
CompletionRequest read_completion_request(Fields& fields, const ApiContext& context);

/// A field that is a text, an array of texts, an array of token ids, or an array of such. `read`: makes the
/// prompt of a text. Throws ApiError 400.
std::vector<Prompt> read_prompts(const OrderedJson& value, const std::string& param, size_t most,
                                 const ApiContext& context,
                                 const std::function<std::vector<text::TokenId>(const std::string&)>& read);

}  // namespace rotor::runtime::server
