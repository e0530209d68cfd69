// Who may ask: keys, hosts, origins; and TLS.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "rotor/core/error.h"
#include "tests/server/certificate.h"
#include "tests/server/server_fixture.h"
#include "tests/support/temp_dir.h"

namespace rotor::test {
namespace {

using runtime::server::ApiKeys;

std::string bearer(const std::string& key) {
  return "Authorization: Bearer " + key + "\r\n";
}

TEST_F(HttpServerTest, KeysAreAskedFor) {
  options_.rules.keys.add("first-key", "a test");
  options_.rules.keys.add("second-key", "a test");
  start();
  HttpClient client(port());
  const HttpAnswer none = client.request("GET", "/hello");
  EXPECT_EQ(none.status, 401);
  EXPECT_EQ(none.headers.at("www-authenticate"), "Bearer");
  const HttpAnswer wrong = client.request("GET", "/hello", bearer("first-kez"));
  EXPECT_EQ(wrong.status, 401);
  EXPECT_NE(wrong.body.find("invalid_api_key"), std::string::npos) << wrong.body;
  EXPECT_EQ(wrong.body.find("first-kez"), std::string::npos) << "a key is not repeated";
  EXPECT_EQ(client.request("GET", "/hello", bearer("first-key")).status, 200);
  EXPECT_EQ(client.request("GET", "/hello", "authorization: bearer second-key\r\n").status, 200);
  EXPECT_EQ(client.request("GET", "/hello", bearer("first-key2")).status, 401);
  EXPECT_EQ(client.request("GET", "/hello", "Authorization: Basic first-key\r\n").status, 401);
  EXPECT_EQ(client.request("GET", "/open").status, 200);
  // A body is not even read before the key is right.
  EXPECT_EQ(client.request("POST", "/echo", kJsonHeader, "{}").status, 401);
}

TEST(ApiKeys, Files) {
  const TempDir dir;
  const std::string path = dir.file("keys");
  write_bytes(path, "# ours\n\nalpha\r\n  # not a comment: has spaces\n");
  chmod(path.c_str(), 0600);
  ApiKeys keys;
  expect_error([&] { keys.add_file(path); }, {path + ", line 4", "visible ASCII"});
  write_bytes(path, "# ours\n\nalpha\r\nbeta");
  keys = ApiKeys();
  keys.add_file(path);
  EXPECT_TRUE(keys.allow("Bearer alpha"));
  EXPECT_TRUE(keys.allow("Bearer beta"));
  EXPECT_FALSE(keys.allow("Bearer # ours"));
  EXPECT_FALSE(keys.allow("Bearer "));
  EXPECT_FALSE(keys.allow("alpha"));
  chmod(path.c_str(), 0644);
  expect_error([&] { ApiKeys().add_file(path); }, {path, "everybody"});
  write_bytes(path, "# none\n");
  chmod(path.c_str(), 0640);
  expect_error([&] { ApiKeys().add_file(path); }, {path, "found none"});
  expect_error([&] { ApiKeys().add_file(dir.file("absent")); }, {"absent", "No such file"});
  expect_error([&] { ApiKeys().add("", "--api-key"); }, {"--api-key"});
}

TEST_F(HttpServerTest, ForeignPagesMayNotAsk) {
  options_.rules.check_host = true;
  options_.rules.allowed_hosts = {"Our.example"};
  start();
  HttpClient client(port());
  const auto status = [&](const std::string& headers) {
    return client.request("GET", "/hello", headers).status;
  };
  // DNS rebinding: evil.example leads to 127.0.0.1, and its page asks with its own name.
  EXPECT_EQ(status("Host: evil.example\r\n"), 403);
  EXPECT_EQ(status("Host: evil.example:8080\r\nOrigin: http://evil.example:8080\r\n"), 403);
  for (const char* host :
       {"localhost:8080", "LOCALHOST", "127.0.0.1:1", "[::1]:8080", "a.localhost", "our.example"}) {
    EXPECT_EQ(status("Host: " + std::string(host) + "\r\n"), 200) << host;
  }
  EXPECT_EQ(status("Host: localhost:80\r\nOrigin: http://localhost:80\r\n"), 200);
  EXPECT_EQ(status("Host: localhost:80\r\nOrigin: http://localhost:81\r\n"), 403);
  EXPECT_EQ(status("Host: localhost:80\r\nOrigin: null\r\n"), 403);
  const HttpAnswer answer = client.request(
      "OPTIONS", "/hello", "Origin: http://x.example\r\nAccess-Control-Request-Method: GET\r\n");
  EXPECT_EQ(answer.headers.count("access-control-allow-origin"), 0U);
  EXPECT_EQ(answer.headers.count("access-control-allow-methods"), 0U);
}

TEST_F(HttpServerTest, PagesThatWereNamedMayAsk) {
  options_.rules.cors_origins = {"https://app.example"};
  options_.rules.keys.add("k", "a test");
  start();
  HttpClient client(port());
  const std::string origin = "Origin: https://app.example\r\n";
  const HttpAnswer preflight = client.request(
      "OPTIONS", "/echo",
      origin + "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n");
  EXPECT_EQ(preflight.status, 204);
  EXPECT_EQ(preflight.headers.at("access-control-allow-origin"), "https://app.example");
  EXPECT_EQ(preflight.headers.at("access-control-allow-methods"), "POST, OPTIONS");
  EXPECT_EQ(preflight.headers.at("access-control-allow-headers"), "authorization");
  EXPECT_EQ(preflight.headers.at("vary"), "Origin");
  EXPECT_EQ(client.request("GET", "/hello", origin + bearer("k")).headers.at("access-control-allow-origin"),
            "https://app.example");
  EXPECT_EQ(client.request("GET", "/hello", origin).headers.count("access-control-allow-origin"), 1U)
      << "the page may read why it was refused";
  EXPECT_EQ(client.request("GET", "/hello", "Origin: https://evil.example\r\n" + bearer("k"))
                .headers.count("access-control-allow-origin"),
            0U);
}

TEST_F(HttpServerTest, Tls) {
  const Certificate certificate;
  options_.tls_certificate = certificate.certificate_file();
  options_.tls_key = certificate.key_file();
  start();
  HttpClient client(port(), true);
  EXPECT_EQ(client.request("GET", "/hello").body, "hello");
  EXPECT_EQ(client.request("GET", "/stream?n=50&bytes=2000").body.size(), 100'000U);
  EXPECT_EQ(client.request("POST", "/count", kJsonHeader, std::string(9000, ' ')).body, "9000");
  HttpClient plain(port());
  const HttpAnswer refused = plain.request("GET", "/hello");
  EXPECT_EQ(refused.status, 400);
  EXPECT_NE(refused.body.find("TLS"), std::string::npos) << refused.body;
  EXPECT_TRUE(plain.closed());
  HttpClient silent(port());
  HttpClient half(port());
  half.send("\x16\x03\x01");
  EXPECT_EQ(HttpClient(port(), true).request("GET", "/hello").status, 200) << "others are answered meanwhile";
  EXPECT_TRUE(silent.closed(std::chrono::seconds(5)));
  EXPECT_TRUE(half.closed(std::chrono::seconds(5)));
  HttpClient slow(port(), true);
  slow.send("GET /hello HTTP/1.1\r\nHo");
  EXPECT_EQ(slow.answer().status, 408);
  {
    HttpClient leaving(port(), true);
    leaving.send("POST /held HTTP/1.1\r\nHost: localhost\r\n\r\n");
    ASSERT_TRUE(wait_for_held(1));
  }
  for (int i = 0; i < 1000 && left_ == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(left_, 1);
}

TEST_F(HttpServerTest, TlsBeyondTheLimit) {
  const Certificate certificate;
  options_.tls_certificate = certificate.certificate_file();
  options_.tls_key = certificate.key_file();
  options_.max_connections = 1;
  start();
  HttpClient busy(port(), true);
  busy.send("POST /held HTTP/1.1\r\nHost: localhost\r\n\r\n");
  ASSERT_TRUE(wait_for_held(1));
  EXPECT_EQ(HttpClient(port(), true).request("GET", "/hello").status, 503);
}

TEST(Tls, FilesThatCannotBeUsed) {
  const Certificate one;
  const Certificate other;
  HttpServerOptions options;
  options.port = 0;
  options.tls_certificate = one.certificate_file();
  expect_error([&] { HttpServer(options, {}); }, {"a certificate and a key"});
  options.tls_key = other.key_file();
  expect_error([&] { HttpServer(options, {}); }, {other.key_file(), one.certificate_file()});
  options.tls_certificate = one.key_file();
  expect_error([&] { HttpServer(options, {}); }, {one.key_file(), "expected a certificate"});
}

}  // namespace
}  // namespace rotor::test
