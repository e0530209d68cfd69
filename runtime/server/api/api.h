// OpenAI's API over a language model: what a server offers at which path. docs/server.md says what each field
// means. HTTP itself is http_server.h, the batch batcher.h.
#pragma once

#include <memory>
#include <vector>

#include "runtime/engine/batcher.h"
#include "runtime/server/api/api_context.h"
#include "runtime/server/api/api_options.h"
#include "runtime/server/http/http.h"

namespace rotor::runtime::server {

class Api {
 public:
  /// `model` and `batcher` must outlive this object and its routes. Throws Error for a chat template that is
  /// broken, and for two adapters of the same name.
  Api(const LanguageModel& model, Batcher& batcher, ApiOptions options)
      : Api(
            model, [&batcher](BatchRequest request) { return batcher.submit(std::move(request)); },
            batcher.context(), std::move(options)) {}
  /// With anything that takes texts of at most `context` tokens.
  Api(const LanguageModel& model, Submit submit, int64_t context, ApiOptions options);

  /// Handlers throw ApiError.
  std::vector<HttpRoute> routes() const;

 private:
  std::shared_ptr<const ApiContext> context_;
};

}  // namespace rotor::runtime::server
