// The table of paths.
#include "runtime/server/api/api.h"

#include "runtime/server/api/endpoints.h"

namespace rotor::runtime::server {

Api::Api(const LanguageModel& model, Submit submit, int64_t context, ApiOptions options)
    : context_(std::make_shared<ApiContext>(model, std::move(submit), context, std::move(options))) {}

std::vector<HttpRoute> Api::routes() const {
  std::vector<HttpRoute> routes;
  using Endpoint = HttpResponse (*)(const ApiContext&, const HttpRequest&);
  const auto add = [&](const char* method, const char* path, Endpoint endpoint) {
    routes.push_back({method, path, [context = context_, endpoint](const HttpRequest& request) {
                        return endpoint(*context, request);
                      }});
  };
  add("GET", "/v1/models", list_models);
  add("GET", "/v1/models/*", show_model);
  add("POST", "/v1/chat/completions", chat_completions);
  add("POST", "/v1/completions", completions);
  add("POST", "/v1/embeddings", embeddings);
  add("POST", "/tokenize", tokenize);
  add("POST", "/detokenize", detokenize);
  const ApiOptions& options = context_->options();
  if (!options.adapters.empty() || !options.adapter_root.empty()) {
    add("GET", "/v1/adapters", list_adapters);
    add("POST", "/v1/adapters", add_adapter);
  }
  return routes;
}

}  // namespace rotor::runtime::server
