// The API's endpoints: each reads a request and answers it. All throw ApiError.
#pragma once

#include "runtime/server/api/api_context.h"
#include "runtime/server/http/http.h"

namespace rotor::runtime::server {

HttpResponse chat_completions(const ApiContext& context, const HttpRequest& request);
HttpResponse completions(const ApiContext& context, const HttpRequest& request);
HttpResponse embeddings(const ApiContext& context, const HttpRequest& request);
HttpResponse tokenize(const ApiContext& context, const HttpRequest& request);
HttpResponse detokenize(const ApiContext& context, const HttpRequest& request);
HttpResponse list_models(const ApiContext& context, const HttpRequest& request);
HttpResponse show_model(const ApiContext& context, const HttpRequest& request);
HttpResponse list_adapters(const ApiContext& context, const HttpRequest& request);
HttpResponse add_adapter(const ApiContext& context, const HttpRequest& request);

}  // namespace rotor::runtime::server
