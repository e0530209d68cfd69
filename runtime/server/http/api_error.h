// What a client is told when its request cannot be answered: a status and OpenAI's JSON object. How errors of
// a handler become responses is decided in http_server.cpp, by error_response() below.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rotor/core/error.h"
#include "runtime/server/http/http.h"

namespace rotor::runtime::server {

/// A refusal in the form of OpenAI's API, {"error": {"message", "type", "param", "code"}}
/// (platform.openai.com/docs/guides/error-codes). Handlers throw it.
class ApiError : public Error {
 public:
  /// `type` is chosen by the status: see api_error_type().
  ApiError(int status, const std::string& message, std::string param = "", std::string code = "");

  int status;         ///< 400 to 599
  std::string type;   ///< "invalid_request_error"
  std::string param;  ///< field of the request that is wrong, as "messages[2].role"; "" becomes null
  std::string code;   ///< "model_not_found"; "" becomes null
  std::optional<int> retry_after_seconds;                    ///< header Retry-After
  std::vector<std::pair<std::string, std::string>> headers;  ///< of the response, besides
};

/// OpenAI's type of an error with that status: permission_error (403), rate_limit_error (429), server_error
/// (500 and more), else invalid_request_error, also for a wrong key.
std::string_view api_error_type(int status);

/// {"error": {...}} in UTF-8; bytes that are none become U+FFFD.
std::string error_json(const ApiError& error);

/// The response that says so.
HttpResponse error_response(const ApiError& error);

}  // namespace rotor::runtime::server
