// Routes, hosts, origins, keys and kinds of bodies.
#include "runtime/server/http/http_rules.h"

#include <arpa/inet.h>

#include <algorithm>

#include "runtime/server/http/api_error.h"

namespace rotor::runtime::server {
namespace {

bool matches(const HttpRoute& route, const std::string& path) {
  if (!route.path.ends_with("/*")) return route.path == path;
  return path.starts_with(route.path.substr(0, route.path.size() - 1));
}

/// "GET, HEAD, OPTIONS"; "" if there is no such path.
std::string methods_of(const std::string& path, const std::vector<HttpRoute>& routes) {
  std::string methods;
  for (const HttpRoute& route : routes) {
    if (path == "*" || !matches(route, path)) continue;
    methods += route.method + (route.method == "GET" ? ", HEAD, " : ", ");
  }
  return methods.empty() ? "" : methods + "OPTIONS";
}

[[noreturn]] void refuse_path(const HttpHead& head) {
  throw ApiError(404, "Unknown request URL: " + head.method + " " + head.path, "", "unknown_url");
}

/// "[::1]:8080" and "[::1]" as "::1".
std::string without_port(std::string host) {
  if (host.starts_with('[')) return host.substr(1, host.find(']') - 1);
  host.erase(std::min(host.find(':'), host.size()));
  return host;
}

bool is_address(const std::string& host) {
  unsigned char bytes[16];
  return inet_pton(AF_INET, host.c_str(), bytes) == 1 || inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

bool host_allowed(const HttpHead& head, const HttpRules& rules) {
  const std::string host = without_port(lower_case(head.header("host")));
  return host.empty() || host == "localhost" || host.ends_with(".localhost") || is_address(host) ||
         std::any_of(rules.allowed_hosts.begin(), rules.allowed_hosts.end(),
                     [&](const std::string& allowed) { return lower_case(allowed) == host; });
}

bool origin_allowed(const HttpHead& head, const HttpRules& rules) {
  const std::string origin = head.header("origin");
  return std::any_of(rules.cors_origins.begin(), rules.cors_origins.end(),
                     [&](const std::string& allowed) { return allowed == "*" || allowed == origin; });
}

/// A page of our own: its origin is SCHEME://HOST with the Host that it asks.
bool same_origin(const HttpHead& head) {
  const std::string origin = lower_case(head.header("origin"));
  const size_t host = origin.find("://");
  return host != std::string::npos && origin.substr(host + 3) == lower_case(head.header("host"));
}

void check_key(const HttpHead& head, const HttpRules& rules) {
  const std::string authorization = head.header("authorization");
  if (authorization.empty()) {
    throw ApiError(401,
                   "This server needs a key: expected a header \"Authorization: Bearer KEY\", found none");
  }
  if (!rules.keys.allow(authorization)) {
    throw ApiError(401, "Incorrect API key provided", "", "invalid_api_key");
  }
}

void check_body(const HttpHead& head, const HttpRules& rules) {
  if (head.has_body() && head.method != "POST") {
    throw ApiError(400, head.method + " on " + head.path + ": expected no body");
  }
  if (head.content_length.value_or(0) > rules.max_body_bytes) {
    throw ApiError(413, cat("The request's body is too large: expected at most ", rules.max_body_bytes,
                            " bytes, found ", *head.content_length));
  }
  const std::string encoding = lower_case(head.header("content-encoding"));
  if (!encoding.empty() && encoding != "identity") {
    throw ApiError(415, "Content-Encoding: expected a body without one, found \"" + encoding + "\"");
  }
  const std::string type = head.header("content-type");
  std::string media = lower_case(type.substr(0, type.find(';')));
  while (media.ends_with(' ') || media.ends_with('\t')) media.pop_back();
  if (head.has_body() && !media.empty() && media != "application/json") {
    throw ApiError(415, "Content-Type: expected application/json, found \"" + type + "\"", "",
                   "unsupported_content_type");
  }
}

}  // namespace

const HttpRoute* find_route(const HttpHead& head, const std::vector<HttpRoute>& routes) {
  const std::string method = head.method == "HEAD" ? "GET" : head.method;
  const HttpRoute* found = nullptr;
  for (const HttpRoute& route : routes) {
    if (route.method != method || !matches(route, head.path)) continue;
    if (found == nullptr || route.path.size() > found->path.size()) found = &route;  // "/" + "*" comes last
  }
  if (found != nullptr || (head.method == "OPTIONS" && head.path == "*")) return found;
  const std::string allowed = methods_of(head.path, routes);
  if (allowed.empty()) refuse_path(head);
  if (head.method == "OPTIONS") return nullptr;
  ApiError error(405, "Not allowed to " + head.method + " on " + head.path, "", "method_not_supported");
  error.headers.emplace_back("Allow", allowed);
  throw error;
}

void check_request(const HttpHead& head, const HttpRoute* route, const HttpRules& rules) {
  if (rules.check_host && !host_allowed(head, rules)) {
    throw ApiError(403, "Host: expected localhost, an address, or a name given by --allow-host, found \"" +
                            head.header("host") + "\"");
  }
  const bool foreign = !head.header("origin").empty() && !same_origin(head) && !origin_allowed(head, rules);
  if (foreign && rules.keys.empty() && route != nullptr) {
    throw ApiError(403, "Origin: expected this server's own pages, or one given by --cors-origin, found \"" +
                            head.header("origin") + "\"");
  }
  if (route != nullptr && route->needs_key && !rules.keys.empty()) check_key(head, rules);
  check_body(head, rules);
}

HttpResponse options_response(const HttpHead& head, const std::vector<HttpRoute>& routes,
                              const HttpRules& rules) {
  HttpResponse response;
  response.status = 204;
  const std::string methods = methods_of(head.path, routes);
  if (!methods.empty()) response.headers.emplace_back("Allow", methods);
  if (!head.header("access-control-request-method").empty() && origin_allowed(head, rules)) {
    response.headers.emplace_back("Access-Control-Allow-Methods", methods);
    const std::string asked = head.header("access-control-request-headers");
    response.headers.emplace_back("Access-Control-Allow-Headers",
                                  asked.empty() ? "Authorization, Content-Type" : asked);
    response.headers.emplace_back("Access-Control-Max-Age", "600");
  }
  return response;
}

std::vector<std::pair<std::string, std::string>> cors_headers(const HttpHead& head, const HttpRules& rules) {
  if (rules.cors_origins.empty()) return {};
  std::vector<std::pair<std::string, std::string>> headers = {{"Vary", "Origin"}};
  if (!head.header("origin").empty() && origin_allowed(head, rules)) {
    headers.emplace_back("Access-Control-Allow-Origin", head.header("origin"));
    headers.emplace_back("Access-Control-Expose-Headers", "x-request-id, Retry-After");
  }
  return headers;
}

}  // namespace rotor::runtime::server
