// Errors in OpenAI's form.
#include "runtime/server/http/api_error.h"

#include "rotor/formats/json.h"

namespace rotor::runtime::server {

ApiError::ApiError(int status_code, const std::string& message, std::string param_name, std::string code_name)
    : Error(message),
      status(status_code),
      type(api_error_type(status_code)),
      param(std::move(param_name)),
      code(std::move(code_name)) {}

std::string_view api_error_type(int status) {
  switch (status) {
    case 403:
      return "permission_error";
    case 429:
      return "rate_limit_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

std::string error_json(const ApiError& error) {
  const auto or_null = [](const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); };
  return dump_json({{"error",
                     {{"message", error.what()},
                      {"type", error.type},
                      {"param", or_null(error.param)},
                      {"code", or_null(error.code)}}}});
}

HttpResponse error_response(const ApiError& error) {
  HttpResponse response;
  response.status = error.status;
  response.headers = error.headers;
  response.body = error_json(error);
  if (error.retry_after_seconds) {
    response.headers.emplace_back("Retry-After", std::to_string(*error.retry_after_seconds));
  }
  if (error.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

}  // namespace rotor::runtime::server
