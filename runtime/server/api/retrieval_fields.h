// Answers from a knowledge base: the field `retrieval` of a chat's request, the search, and what the answer
// says of it. docs/server.md has the fields.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "runtime/retrieval/retrieval.h"
#include "runtime/server/api/api_context.h"
#include "runtime/server/api/chat_request.h"
#include "runtime/server/http/http.h"

namespace rotor::runtime::server {

/// What the request wants of the knowledge base; nothing if the server has none. Throws ApiError 400, also if
/// sources are asked for that the server cannot have.
std::optional<retrieval::RetrievalOptions> read_retrieval(Fields& fields, const ApiContext& context);

/// Sources for a request whose prompt is there without them. Waits for the search and, if it matters, for the
/// first tokens of an answer without sources, which are computed in the batch as all others. Throws ApiError
/// as ApiContext::submit().
retrieval::Retrieval find_sources(const ApiContext& context, const HttpRequest& http,
                                  const ChatRequest& request, const std::string& question,
                                  retrieval::RetrievalOptions options);

/// `"retrieval":{...},"sources":[...]`. `cited`: the numbers that the answer names; nullptr: not known yet.
std::string retrieval_members(const retrieval::Retrieval& retrieval, const std::vector<int64_t>* cited);

}  // namespace rotor::runtime::server
