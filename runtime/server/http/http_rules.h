// Who may ask for what: what a request's head alone decides, before its body is read. Everything here throws
// ApiError or returns; no sockets.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "runtime/server/http/api_keys.h"
#include "runtime/server/http/http.h"
#include "runtime/server/http/http_head.h"

namespace rotor::runtime::server {

struct HttpRules {
  ApiKeys keys;  ///< none: everybody may ask
  std::vector<std::string>
      cors_origins;  ///< "https://example.org": web pages from there may ask; "*": all may
  /// Whether names in the header Host are refused that are neither localhost, nor an address, nor among
  /// `allowed_hosts`: a web page whose name suddenly leads to this machine (DNS rebinding) has such a name.
  bool check_host = false;
  std::vector<std::string> allowed_hosts;  ///< without port
  size_t max_head_bytes = 32 << 10;
  size_t max_body_bytes = 16 << 20;      ///< as sent, with the lines of chunks
  size_t body_memory_bytes = 256 << 20;  ///< of all bodies at once; at least max_body_bytes counts
  std::chrono::milliseconds request_timeout{30'000};  ///< for all bytes of a request to arrive
};

/// The route of a request; HEAD is answered by GET's, OPTIONS by `options_response` (nullptr). Throws
/// ApiError 404, and 405 with the header Allow.
const HttpRoute* find_route(const HttpHead& head, const std::vector<HttpRoute>& routes);

/// Throws ApiError: 403 for a foreign Host or, where nobody needs a key, a foreign Origin (a web page could
/// otherwise make its visitors' browsers ask); 401 for a missing or wrong key, if `route` (nullptr: OPTIONS)
/// needs one; 400 (only POST has one), 413 and 415 for what the head says of the body.
void check_request(const HttpHead& head, const HttpRoute* route, const HttpRules& rules);

/// What answers OPTIONS: which methods the path has and, to a web page's question whether it may ask,
/// whether.
HttpResponse options_response(const HttpHead& head, const std::vector<HttpRoute>& routes,
                              const HttpRules& rules);

/// Headers that let the web page read the response that asked, if it may.
std::vector<std::pair<std::string, std::string>> cors_headers(const HttpHead& head, const HttpRules& rules);

}  // namespace rotor::runtime::server
