// The head of an HTTP/1.1 request (RFC 9112), read strictly: what two programs could understand differently
// (two lengths, a length beside chunks, folded or nameless headers, bare line feeds) is refused, so that a
// proxy in front of us and we agree where a request ends. It is text that came whole; no sockets here.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rotor::runtime::server {

struct HttpHead {
  std::string method;  ///< "POST"
  std::string path;    ///< percent-decoded, without the query
  std::multimap<std::string, std::string> query;
  bool http_1_0 = false;
  std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case, values as they came

  std::optional<uint64_t> content_length;
  bool chunked = false;
  bool keep_alive = true;
  bool expects_continue = false;

  /// The first header of that name, whatever its case; "" if there is none.
  std::string header(std::string_view name) const;
  bool has_body() const { return chunked || content_length.value_or(0) > 0; }
};

/// Reads a head, its last empty line included. Throws ApiError: 400, 414 (target longer than 8 KiB), 417, 431
/// (more than 100 headers), 501 (an encoding other than chunked), 505.
HttpHead parse_http_head(std::string_view text);

/// "a%20b" as "a b"; with `plus_is_space` also "a+b". Nothing if an escape is broken.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space = false);

/// `text` in lower case, ASCII only.
std::string lower_case(std::string_view text);

}  // namespace rotor::runtime::server
