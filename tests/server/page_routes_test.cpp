// The page's files over HTTP: types, headers, what a client has already, compressed or plain.
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "runtime/server/page.h"
#include "tests/support/temp_dir.h"

namespace rotor {
namespace {

namespace fs = std::filesystem;
using runtime::server::HttpRequest;
using runtime::server::HttpResponse;
using runtime::server::HttpRoute;
using runtime::server::page_routes;

HttpResponse get(const std::string& path, const std::map<std::string, std::string>& headers = {}) {
  for (const HttpRoute& route : page_routes()) {
    if (route.path != path) continue;
    HttpRequest request;
    request.header = [&](std::string_view name) {
      const auto found = headers.find(std::string(name));
      return found == headers.end() ? "" : found->second;
    };
    return route.handler(request);
  }
  ADD_FAILURE() << "no route " << path;
  return {};
}

std::string header(const HttpResponse& response, const std::string& name) {
  for (const auto& [key, value] : response.headers) {
    if (key == name) return value;
  }
  return "";
}

std::string unzipped(const std::string& bytes) {
  const test::TempDir files;
  test::write_bytes(files.file("page.gz"), bytes);
  gzFile file = gzopen(files.file("page.gz").c_str(), "rb");
  std::string text(4 << 20, '\0');
  const int size = gzread(file, text.data(), static_cast<unsigned>(text.size()));
  gzclose(file);
  text.resize(static_cast<size_t>(std::max(size, 0)));
  return text;
}

TEST(PageRoutes, EveryFileOfTheFolderIsServedAsItIs) {
  const fs::path folder = fs::path(ROTOR_SOURCE_DIR) / "runtime/server/page";
  std::set<std::string> paths;
  for (const HttpRoute& route : page_routes()) {
    EXPECT_EQ(route.method, "GET");
    EXPECT_FALSE(route.needs_key) << route.path;
    paths.insert(route.path);
  }
  size_t files = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    const std::string path = name == "index.html" ? "/" : "/" + name;
    EXPECT_TRUE(paths.contains(path)) << path;
    EXPECT_EQ(get(path).body, test::read_bytes(entry.path())) << path;
    EXPECT_EQ(unzipped(get(path, {{"Accept-Encoding", "br, gzip"}}).body), test::read_bytes(entry.path()))
        << path;
    ++files;
  }
  EXPECT_GE(files, 10U);
}

TEST(PageRoutes, TypesAndHeaders) {
  const std::map<std::string, std::string> types = {{"/", "text/html; charset=utf-8"},
                                                    {"/app.js", "text/javascript; charset=utf-8"},
                                                    {"/vendor/marked.js", "text/javascript; charset=utf-8"},
                                                    {"/style.css", "text/css; charset=utf-8"},
                                                    {"/icon.svg", "image/svg+xml"},
                                                    {"/licenses.txt", "text/plain; charset=utf-8"}};
  for (const auto& [path, type] : types) {
    const HttpResponse response = get(path);
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.content_type, type) << path;
    EXPECT_EQ(header(response, "X-Content-Type-Options"), "nosniff");
    EXPECT_EQ(header(response, "Referrer-Policy"), "no-referrer");
    const std::string policy = header(response, "Content-Security-Policy");
    EXPECT_NE(policy.find("default-src 'none'"), std::string::npos) << policy;
    EXPECT_NE(policy.find("frame-ancestors 'none'"), std::string::npos) << policy;
    EXPECT_EQ(policy.find("unsafe"), std::string::npos) << policy;
    EXPECT_EQ(policy.find("http"), std::string::npos) << policy;
  }
  const std::string licenses = get("/licenses.txt").body;
  for (const char* words :
       {"marked", "highlight.js", "Permission is hereby granted", "Redistributions in binary form"}) {
    EXPECT_NE(licenses.find(words), std::string::npos) << words;
  }
}

TEST(PageRoutes, WhoHasItGetsNoBody) {
  const std::string etag = header(get("/app.js"), "ETag");
  EXPECT_NE(etag, header(get("/style.css"), "ETag"));
  for (const std::string& has : {etag, "\"other\", " + etag, etag.substr(2), std::string("*")}) {
    const HttpResponse response = get("/app.js", {{"If-None-Match", has}});
    EXPECT_EQ(response.status, 304) << has;
    EXPECT_EQ(response.body, "");
    EXPECT_EQ(header(response, "ETag"), etag);
  }
  for (const std::string& has :
       {std::string("\"other\""), std::string(""), etag + "x", header(get("/"), "ETag")}) {
    EXPECT_EQ(get("/app.js", {{"If-None-Match", has}}).status, 200) << has;
  }
}

TEST(PageRoutes, CompressedForWhoTakesIt) {
  for (const char* takes : {"gzip", "br, gzip", "deflate,gzip;q=0.5", "*", "gzip;q=1.0"}) {
    const HttpResponse response = get("/", {{"Accept-Encoding", takes}});
    EXPECT_EQ(header(response, "Content-Encoding"), "gzip") << takes;
    EXPECT_TRUE(response.body.starts_with("\x1f\x8b")) << takes;
  }
  for (const char* takes : {"", "br", "gzip;q=0", "gzip;q=0.000", "x-gzipped", "identity"}) {
    const HttpResponse response = get("/", {{"Accept-Encoding", takes}});
    EXPECT_EQ(header(response, "Content-Encoding"), "") << takes;
    EXPECT_TRUE(response.body.starts_with("<!DOCTYPE html>")) << takes;
  }
}

}  // namespace
}  // namespace rotor
