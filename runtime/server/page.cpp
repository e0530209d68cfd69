// Every file gets a route, its checksum as ETag, and headers that let the page do nothing but talk to its
// server.
#include "runtime/server/page.h"

#include <zlib.h>

#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "rotor/core/error.h"
#include "rotor/formats/checksum.h"
#include "runtime/server/page_files.h"

namespace rotor::runtime::server {
namespace {

/// What the page may do: load its own files, talk to its own server. It never makes HTML from a string, so
/// nothing may: https://www.w3.org/TR/trusted-types/
constexpr std::string_view kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kContentTypes = {{
    {".html", "text/html; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".txt", "text/plain; charset=utf-8"},
}};

std::string content_type(std::string_view path) {
  for (const auto& [ending, type] : kContentTypes) {
    if (path.ends_with(ending)) return std::string(type);
  }
  fail("page: ", path, " has an ending without a content type");
}

/// Weak, since the compressed and the plain form share it.
std::string etag_of(std::string_view bytes) {
  return cat("W/\"", checksum({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}), "\"");
}

std::string unzip(std::string_view gzip) {
  z_stream stream{};
  constexpr int kGzip = 16;
  if (inflateInit2(&stream, MAX_WBITS + kGzip) != Z_OK) fail("page: zlib cannot start");
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(gzip.data()));
  stream.avail_in = static_cast<uInt>(gzip.size());
  std::string text;
  int status = Z_OK;
  while (status == Z_OK) {
    std::array<char, 16384> piece{};
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = piece.size();
    status = inflate(&stream, Z_NO_FLUSH);
    text.append(piece.data(), piece.size() - stream.avail_out);
  }
  inflateEnd(&stream);
  if (status != Z_STREAM_END) fail("page: a file in the program does not decompress, zlib status ", status);
  return text;
}

/// The items of a header like "a, b;q=0, c", without spaces.
std::vector<std::string> items(std::string_view header) {
  std::vector<std::string> all(1);
  for (const char c : header) {
    if (c == ',') {
      all.emplace_back();
    } else if (c != ' ' && c != '\t') {
      all.back() += c;
    }
  }
  return all;
}

bool takes_gzip(const HttpRequest& request) {
  for (const std::string& item : items(request.header("Accept-Encoding"))) {
    const std::string coding = item.substr(0, item.find(';'));
    if (coding != "gzip" && coding != "*") continue;
    const size_t q = item.find(";q=");
    return q == std::string::npos || item.find_first_of("123456789", q) != std::string::npos;
  }
  return false;
}

/// https://www.rfc-editor.org/rfc/rfc9110#name-if-none-match: weak comparison, or any.
bool has_it(const HttpRequest& request, std::string_view etag) {
  const auto opaque = [](std::string_view tag) { return tag.starts_with("W/") ? tag.substr(2) : tag; };
  for (const std::string& tag : items(request.header("If-None-Match"))) {
    if (tag == "*" || opaque(tag) == opaque(etag)) return true;
  }
  return false;
}

HttpResponse answer(const HttpRequest& request, const PageFile& file, const std::string& etag) {
  HttpResponse response;
  response.headers = {
      {"ETag", etag},
      {"Cache-Control", "no-cache"},  // keep it, but ask: a new version of Rotor is seen at once
      {"Vary", "Accept-Encoding"},
      {"Content-Security-Policy", std::string(kPolicy)},
      {"X-Content-Type-Options", "nosniff"},
      {"X-Frame-Options", "DENY"},
      {"Referrer-Policy", "no-referrer"},
      {"Cross-Origin-Opener-Policy", "same-origin"},
      {"Cross-Origin-Resource-Policy", "same-origin"}};
  response.content_type = content_type(file.path);
  if (has_it(request, etag)) {
    response.status = 304;
  } else if (takes_gzip(request)) {
    response.headers.emplace_back("Content-Encoding", "gzip");
    response.body = file.gzip;
  } else {
    response.body = unzip(file.gzip);
  }
  return response;
}

}  // namespace

std::vector<HttpRoute> page_routes() {
  std::vector<HttpRoute> routes;
  for (const PageFile& file : page_files()) {
    const std::string path = file.path == "/index.html" ? "/" : std::string(file.path);
    const auto handler = [file, etag = etag_of(file.gzip)](const HttpRequest& request) {
      return answer(request, file, etag);
    };
    routes.push_back({"GET", path, handler, /*needs_key=*/false});
  }
  return routes;
}

}  // namespace rotor::runtime::server
