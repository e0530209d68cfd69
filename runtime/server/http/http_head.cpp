// Reading of request heads.
#include "runtime/server/http/http_head.h"

#include <algorithm>
#include <charconv>

#include "runtime/server/http/api_error.h"

namespace rotor::runtime::server {
namespace {

constexpr size_t kMaxTargetBytes = 8192;
constexpr size_t kMaxHeaders = 100;

[[noreturn]] void refuse(const std::string& what) {
  throw ApiError(400, "HTTP request: " + what);
}

/// tchar of RFC 9110: what names of methods and headers consist of.
bool is_token(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kMarks.find(c) != std::string_view::npos;
  });
}

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// The text up to `separator`, which is taken off the front of `rest` with it.
std::string_view take_until(std::string_view& rest, std::string_view separator) {
  const size_t end = rest.find(separator);
  const std::string_view part = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + separator.size());
  return part;
}

void read_target(std::string_view target, HttpHead& head) {
  if (target.size() > kMaxTargetBytes) throw ApiError(414, "HTTP request: the address is too long");
  // What a proxy's client sends; the authority is in the header Host as well.
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!target.starts_with(scheme)) continue;
    target.remove_prefix(std::min(target.find('/', scheme.size()), target.size()));
    if (target.empty()) target = "/";
  }
  if (target == "*" && head.method == "OPTIONS") {
    head.path.push_back(target.front());
    return;
  }
  if (!target.starts_with("/")) refuse("expected a path that begins with /");
  if (std::any_of(target.begin(), target.end(), is_control)) refuse("control characters in the path");
  std::string_view query = target.substr(0, target.find('#'));
  const auto path = percent_decode(take_until(query, "?"));
  if (!path || std::any_of(path->begin(), path->end(), is_control)) refuse("broken %-escape in the path");
  head.path = *path;
  while (!query.empty()) {
    std::string_view value = take_until(query, "&");
    const std::string_view name = take_until(value, "=");
    if (name.empty()) continue;
    auto plain_name = percent_decode(name, true);
    auto plain_value = percent_decode(value, true);
    if (!plain_name || !plain_value) refuse("broken %-escape in the query");
    head.query.emplace(*std::move(plain_name), *std::move(plain_value));
  }
}

void read_request_line(std::string_view line, HttpHead& head) {
  const std::string_view method = take_until(line, " ");
  const std::string_view target = take_until(line, " ");
  if (!is_token(method) || target.empty() || !line.starts_with("HTTP/")) {
    refuse("expected a first line \"METHOD /path HTTP/1.1\"");
  }
  if (line != "HTTP/1.1" && line != "HTTP/1.0")
    throw ApiError(505, "HTTP request: expected HTTP/1.1 or HTTP/1.0");
  head.http_1_0 = line == "HTTP/1.0";
  head.method = method;
  read_target(target, head);
}

/// Values of all headers of that name, joined as RFC 9110 says.
std::string joined(const HttpHead& head, std::string_view name) {
  std::string values;
  for (const auto& [known, value] : head.headers) {
    if (known != name) continue;
    if (!values.empty()) values += ", ";
    values += value;
  }
  return values;
}

size_t count(const HttpHead& head, std::string_view name) {
  return static_cast<size_t>(std::count_if(head.headers.begin(), head.headers.end(),
                                           [&](const auto& h) { return h.first == name; }));
}

/// Where the body ends, and whether the connection goes on after it.
void read_framing(HttpHead& head) {
  const size_t hosts = count(head, "host");
  if (hosts > 1 || (hosts == 0 && !head.http_1_0)) refuse(cat("expected one header Host, found ", hosts));
  if (count(head, "content-length") > 0) {
    const std::string length = head.header("content-length");
    uint64_t bytes = 0;
    const auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), bytes);
    if (count(head, "content-length") > 1 || error != std::errc() || end != length.data() + length.size()) {
      refuse("expected one header Content-Length with a number");
    }
    head.content_length = bytes;
  }
  if (count(head, "transfer-encoding") > 0) {
    if (head.content_length) refuse("Content-Length and Transfer-Encoding exclude one another");
    if (head.http_1_0) refuse("HTTP/1.0 has no Transfer-Encoding");
    if (lower_case(joined(head, "transfer-encoding")) != "chunked") {
      throw ApiError(501, "HTTP request: expected no Transfer-Encoding but chunked");
    }
    head.chunked = true;
  }
  const std::string connection = lower_case(joined(head, "connection"));
  head.keep_alive = head.http_1_0 ? connection.find("keep-alive") != std::string::npos
                                  : connection.find("close") == std::string::npos;
  const std::string expect = lower_case(head.header("expect"));
  if (!expect.empty() && expect != "100-continue") {
    throw ApiError(417, "HTTP request: expected no Expect but 100-continue");
  }
  head.expects_continue = !expect.empty() && !head.http_1_0;
}

}  // namespace

std::string HttpHead::header(std::string_view name) const {
  const std::string lower = lower_case(name);
  for (const auto& [known, value] : headers) {
    if (known == lower) return value;
  }
  return "";
}

HttpHead parse_http_head(std::string_view text) {
  HttpHead head;
  // A stray line feed or carriage return is a control character to the checks below.
  read_request_line(take_until(text, "\r\n"), head);
  while (true) {
    const std::string_view line = take_until(text, "\r\n");
    if (line.empty()) break;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) {
      refuse("expected headers \"Name: value\"");
    }
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (std::any_of(value.begin(), value.end(), [](char c) { return is_control(c) && c != '\t'; })) {
      refuse("control characters in a header");
    }
    if (head.headers.size() == kMaxHeaders) {
      throw ApiError(431, cat("HTTP request: more than ", kMaxHeaders, " headers"));
    }
    head.headers.emplace_back(lower_case(line.substr(0, colon)), value);
  }
  read_framing(head);
  return head;
}

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      plain += plus_is_space && text[i] == '+' ? ' ' : text[i];
      continue;
    }
    const std::string_view digits = text.substr(i + 1, 2);
    unsigned value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.size() != 2 || error != std::errc() || end != digits.data() + 2) return std::nullopt;
    plain += static_cast<char>(value);
    i += 2;
  }
  return plain;
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

}  // namespace rotor::runtime::server
