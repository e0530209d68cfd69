// Heads of requests, well-formed and not.
#include "runtime/server/http/http_head.h"

#include <gtest/gtest.h>

#include "runtime/server/http/api_error.h"

namespace rotor::runtime::server {
namespace {

/// The status with which a head is refused; 0 if it is taken.
int refusal(const std::string& text) {
  try {
    parse_http_head(text);
    return 0;
  } catch (const ApiError& error) {
    return error.status;
  }
}

std::string with(const std::string& headers) {
  return "POST / HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n";
}

TEST(HttpHead, ReadsWhatIsThere) {
  const HttpHead head = parse_http_head(
      "POST /a%20b/c?n=1&q=x+y%26&empty&n=2 HTTP/1.1\r\nHost: h:1\r\nX-Some:  a b \r\nCONTENT-LENGTH: 12\r\n"
      "Expect: 100-Continue\r\n\r\n");
  EXPECT_EQ(head.method, "POST");
  EXPECT_EQ(head.path, "/a b/c");
  EXPECT_EQ(head.query.count("n"), 2U);
  EXPECT_EQ(head.query.find("q")->second, "x y&");
  EXPECT_EQ(head.query.find("empty")->second, "");
  EXPECT_EQ(head.header("x-SOME"), "a b");
  EXPECT_EQ(head.header("absent"), "");
  EXPECT_EQ(head.content_length, 12U);
  EXPECT_TRUE(head.keep_alive);
  EXPECT_TRUE(head.expects_continue);
  EXPECT_TRUE(head.has_body());
  EXPECT_EQ(parse_http_head("GET http://host:80/x?y=1 HTTP/1.1\r\nHost: host\r\n\r\n").path, "/x");
  EXPECT_EQ(parse_http_head("GET http://host HTTP/1.1\r\nHost: host\r\n\r\n").path, "/");
}

TEST(HttpHead, TheConnectionsEnd) {
  EXPECT_FALSE(parse_http_head(with("Connection: Close\r\n")).keep_alive);
  EXPECT_TRUE(parse_http_head(with("")).keep_alive);
  EXPECT_FALSE(parse_http_head("GET / HTTP/1.0\r\n\r\n").keep_alive);
  EXPECT_TRUE(parse_http_head("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").keep_alive);
}

TEST(HttpHead, WhatTwoProgramsCouldReadDifferentlyIsRefused) {
  EXPECT_EQ(refusal(with("Content-Length: 1\r\nContent-Length: 2\r\n")), 400);
  EXPECT_EQ(refusal(with("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n")), 400);
  for (const char* length : {"x", "-1", "+1", "1 2", "0x10", "", "18446744073709551616", "1,1"}) {
    EXPECT_EQ(refusal(with(std::string("Content-Length: ") + length + "\r\n")), 400) << length;
  }
  EXPECT_EQ(refusal(with("Transfer-Encoding: gzip, chunked\r\n")), 501);
  EXPECT_EQ(refusal(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")), 501);
  EXPECT_EQ(refusal("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
  EXPECT_EQ(refusal(with("Bad Name: 1\r\n")), 400);
  EXPECT_EQ(refusal(with("Name : 1\r\n")), 400);
  EXPECT_EQ(refusal(with(": 1\r\n")), 400);
  EXPECT_EQ(refusal(with("no colon\r\n")), 400);
  EXPECT_EQ(refusal(with("Folded: 1\r\n 2\r\n")), 400);
  EXPECT_EQ(refusal(with("Bare: 1\nContent-Length: 5\r\n")), 400);
  EXPECT_EQ(refusal(with("Return: 1\rx\r\n")), 400);
  EXPECT_EQ(refusal(with(std::string("Zero: a\0b\r\n", 11))), 400);
  EXPECT_EQ(refusal("GET / HTTP/1.1\r\n\r\n"), 400) << "no Host";
  EXPECT_EQ(refusal(with("Host: y\r\n")), 400);
}

TEST(HttpHead, FirstLines) {
  for (const char* line : {"", "GET", "GET /", "GET / HTTP/1.1 x", "G=T / HTTP/1.1", "GET  / HTTP/1.1",
                           "GET x HTTP/1.1", "GET / http/1.1", "GET /\x01 HTTP/1.1", "GET /%zz HTTP/1.1",
                           "GET /% HTTP/1.1", "GET /%0a HTTP/1.1", "GET /?a=%x HTTP/1.1", "* * *"}) {
    const int status = refusal(std::string(line) + "\r\nHost: x\r\n\r\n");
    EXPECT_EQ(status, std::string_view(line) == "GET / HTTP/1.1 x" ? 505 : 400) << line;
  }
  EXPECT_EQ(refusal("GET / HTTP/2.0\r\nHost: x\r\n\r\n"), 505);
  EXPECT_EQ(refusal("GET /" + std::string(8192, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n"), 414);
  EXPECT_EQ(refusal(with("Expect: a miracle\r\n")), 417);
}

TEST(HttpHead, ManyHeaders) {
  std::string headers;
  for (int i = 0; i < 99; ++i) headers += "X: y\r\n";  // and Host
  EXPECT_EQ(refusal(with(headers)), 0);
  EXPECT_EQ(refusal(with(headers + "X: y\r\n")), 431);
}

TEST(HttpHead, EveryPieceOfAHeadEndsWell) {
  const std::string whole = "POST /a%20b?c=%41 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (size_t size = 0; size <= whole.size(); ++size) {
    const int status = refusal(whole.substr(0, size));
    EXPECT_TRUE(status == 0 || (status >= 400 && status < 600)) << size;
  }
}

}  // namespace
}  // namespace rotor::runtime::server
