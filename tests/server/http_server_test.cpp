// The transport over real sockets: what is answered, what is refused, and what clients cannot do to one
// another.
#include "runtime/server/http/http_server.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "rotor/formats/json.h"
#include "tests/server/server_fixture.h"
#include "tests/support/temp_dir.h"

namespace rotor::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

Json error_of(const HttpAnswer& answer) {
  EXPECT_EQ(answer.headers.at("content-type"), "application/json");
  const Json json = parse_json(answer.body, "the answer");
  EXPECT_TRUE(json["error"]["message"].is_string()) << answer.body;
  EXPECT_EQ(json["error"].size(), 4U) << answer.body;
  return json["error"];
}

TEST_F(HttpServerTest, AnswersOnOneConnection) {
  start();
  HttpClient client(port());
  const HttpAnswer hello = client.request("GET", "/hello");
  EXPECT_EQ(hello.status, 200);
  EXPECT_EQ(hello.body, "hello");
  EXPECT_EQ(hello.headers.at("content-type"), "text/plain");
  EXPECT_TRUE(hello.headers.at("x-request-id").starts_with("req_"));
  EXPECT_EQ(client.request("POST", "/echo", kJsonHeader, "[1]").body, "[1]");
  EXPECT_EQ(client.request("POST", "/echo", kJsonHeader, "").body, "");
  EXPECT_EQ(client.request("GET", "/page/a/b%20c").body, "/page/a/b c");
  const HttpAnswer head = client.request("HEAD", "/hello");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers.at("content-length"), "5");
  const HttpAnswer options = client.request("OPTIONS", "/hello");
  EXPECT_EQ(options.status, 204);
  EXPECT_EQ(options.headers.at("allow"), "GET, HEAD, OPTIONS");
  const auto known = records(6);
  EXPECT_EQ(known[0].id, hello.headers.at("x-request-id"));
  EXPECT_EQ(known[0].remote, "127.0.0.1");
  EXPECT_EQ(known[3].route, "/page/*");
  EXPECT_GT(known[0].bytes, 5U);
  std::set<std::string> ids;
  for (const RequestRecord& record : known) ids.insert(record.id);
  EXPECT_EQ(ids.size(), 6U);
}

TEST_F(HttpServerTest, ManyRequestsAtOnceOnOneConnection) {
  start();
  HttpClient client(port());
  const std::string ask = "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n";
  client.send("\r\n" + ask + "a" + ask + "b" + ask + "c");
  for (const char* body : {"a", "b", "c"}) EXPECT_EQ(client.answer().body, body);
}

TEST_F(HttpServerTest, RefusesInOpenAisForm) {
  start();
  const auto refused = [&](const std::string& method, const std::string& path, const std::string& headers,
                           const std::optional<std::string>& body) {
    HttpClient client(port());
    return client.request(method, path, headers, body);
  };
  const HttpAnswer unknown = refused("GET", "/nothing", "", std::nullopt);
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(error_of(unknown)["code"], "unknown_url");
  const HttpAnswer wrong = refused("POST", "/hello", kJsonHeader, "{}");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.headers.at("allow"), "GET, HEAD, OPTIONS");
  EXPECT_EQ(error_of(wrong)["type"], "invalid_request_error");
  EXPECT_EQ(refused("GET", "/echo", "", std::nullopt).headers.at("allow"), "POST, OPTIONS");
  EXPECT_EQ(refused("BREW", "/hello", "", std::nullopt).status, 405);
  const HttpAnswer form =
      refused("POST", "/echo", "Content-Type: application/x-www-form-urlencoded\r\n", "a=b");
  EXPECT_EQ(form.status, 415);
  EXPECT_EQ(error_of(form)["code"], "unsupported_content_type");
  EXPECT_EQ(refused("POST", "/echo", "Content-Type: Application/JSON ; charset=utf-8\r\n", "1").status, 200);
  EXPECT_EQ(refused("POST", "/echo", kJsonHeader + "Content-Encoding: gzip\r\n", "1").status, 415);
  EXPECT_EQ(error_of(refused("GET", "/hello", "X: " + std::string(5000, 'x') + "\r\n", std::nullopt))["type"],
            "invalid_request_error");
  EXPECT_EQ(refused("GET", "/hello", "X: " + std::string(5000, 'x') + "\r\n", std::nullopt).status, 431);
  EXPECT_EQ(refused("GET", "/hello", "Content-Length: 4x\r\n", std::nullopt).status, 400);
  HttpClient garbage(port());
  garbage.send("\x01\x02 what is this\r\n\r\n");
  const HttpAnswer answer = garbage.answer();
  EXPECT_EQ(answer.status, 400);
  error_of(answer);
  EXPECT_TRUE(garbage.closed());
}

TEST_F(HttpServerTest, WhatHandlersThrow) {
  start();
  HttpClient client(port());
  const HttpAnswer api = client.request("GET", "/throw?what=api");
  EXPECT_EQ(api.status, 404);
  EXPECT_EQ(error_of(api)["param"], "model");
  const HttpAnswer error = client.request("GET", "/throw?what=error");
  EXPECT_EQ(error.status, 400);
  EXPECT_EQ(error_of(error)["type"], "invalid_request_error");
  const HttpAnswer other = client.request("GET", "/throw?what=other");
  EXPECT_EQ(other.status, 500);
  EXPECT_EQ(error_of(other)["type"], "server_error");
  EXPECT_EQ(other.body.find("secret"), std::string::npos);
  const HttpAnswer late = client.request("GET", "/throw?what=late");
  EXPECT_EQ(late.body, "begun");
  EXPECT_FALSE(late.whole) << "half an answer must not look like a whole one";
  const auto known = records(4);
  EXPECT_EQ(known[0].error, "");
  EXPECT_EQ(known[2].error, "secret of the inside");
  EXPECT_EQ(known[3].error, "too late");
}

TEST_F(HttpServerTest, LargeBodies) {
  start();
  {
    HttpClient client(port());
    EXPECT_EQ(client.request("POST", "/count", kJsonHeader, std::string(10'000, ' ')).body, "10000");
    const HttpAnswer large = client.request("POST", "/count", kJsonHeader, std::string(2'000'000, ' '));
    EXPECT_EQ(large.status, 413);
    error_of(large);
    EXPECT_TRUE(client.closed());
  }
  HttpClient polite(port());  // it asks first, and sends nothing
  polite.send(
      "POST /count HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\nExpect: "
      "100-continue\r\n\r\n");
  EXPECT_EQ(polite.answer().status, 413);
}

TEST_F(HttpServerTest, ChunkedBodies) {
  start();
  const std::string head = "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
  HttpClient client(port());
  client.send(head + "3\r\n[1,\r\n");
  std::this_thread::sleep_for(milliseconds(30));
  client.send("2;ext=1\r\n2]\r\n0\r\n\r\n");
  EXPECT_EQ(client.answer().body, "[1,2]");
  EXPECT_TRUE(client.closed());
  HttpClient endless(port());
  endless.send(head);
  for (int i = 0; i < 200 && endless.send("400\r\n" + std::string(0x400, ' ') + "\r\n"); ++i) {
  }
  EXPECT_EQ(endless.answer().status, 413);
  for (const char* broken : {"zz\r\nabc\r\n0\r\n\r\n", "-5\r\nabc\r\n", "ffffffffffffffffffff\r\nabc"}) {
    HttpClient bad(port());
    bad.send(head + broken);
    bad.end_of_speech();
    const int status = bad.answer().status;
    EXPECT_TRUE(status == 400 || status == 413) << status << " for " << broken;
  }
  HttpClient smuggler(port());  // what stands behind a broken chunk is never taken for a request
  smuggler.send(head + "1\r\nab\r\nGET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_NE(smuggler.answer().status, 0);
  EXPECT_EQ(smuggler.answer().status, 0);
}

TEST_F(HttpServerTest, LinesOfChunksCountAsTheBody) {
  start();
  const std::string head = "POST /count HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
  HttpClient lines(port());
  lines.send(head + "1;" + std::string(20'000, 'x'));
  EXPECT_EQ(lines.answer().status, 413);
  HttpClient crumbs(port());  // 2,000 bytes in 12,000
  std::string body;
  for (int i = 0; i < 2000; ++i) body += "1\r\n \r\n";
  crumbs.send(head + body + "0\r\n\r\n");
  EXPECT_EQ(crumbs.answer().status, 413);
}

TEST_F(HttpServerTest, OnlyPostHasABody) {
  options_.rules.keys.add("k", "a test");
  start();
  for (const char* method : {"GET", "HEAD", "OPTIONS"}) {
    for (const char* length : {"Content-Length: 10000\r\n", "Transfer-Encoding: chunked\r\n"}) {
      HttpClient client(port());
      client.send(std::string(method) + " /open HTTP/1.1\r\nHost: localhost\r\n" + length + "\r\n");
      EXPECT_EQ(client.answer(true).status, 400) << method << ", and nothing was waited for";
      EXPECT_TRUE(client.closed());
    }
  }
  HttpClient empty(port());
  EXPECT_EQ(empty.request("GET", "/open", "", "").status, 200) << "a length of 0";
  HttpClient stranger(port());
  stranger.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000\r\n\r\n");
  EXPECT_EQ(stranger.answer().status, 401) << "before the body";
}

TEST_F(HttpServerTest, BodiesShareABudget) {
  options_.rules.body_memory_bytes = 15'000;
  options_.rules.request_timeout = seconds(20);
  start();
  const std::string head = "POST /held HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000\r\n\r\n";
  HttpClient held(port());
  held.send(head + std::string(10'000, ' '));
  ASSERT_TRUE(wait_for_held(1));
  HttpClient silent(port());  // takes what it sent, not what it announced
  silent.send(head);
  HttpClient small(port());
  EXPECT_EQ(small.request("POST", "/count", kJsonHeader, std::string(4000, ' ')).status, 200);
  EXPECT_EQ(small.request("POST", "/count", kJsonHeader, std::string(4000, ' ')).status, 200) << "given back";
  HttpClient large(port());
  const HttpAnswer refused = large.request("POST", "/count", kJsonHeader, std::string(6000, ' '));
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.headers.at("retry-after"), "1");
  EXPECT_EQ(error_of(refused)["code"], "too_many_bodies");
  release();
  EXPECT_EQ(held.answer().status, 200);
  HttpClient later(port());
  EXPECT_EQ(later.request("POST", "/count", kJsonHeader, std::string(6000, ' ')).status, 200);
}

TEST_F(HttpServerTest, ContinueIsSaidWhenTheBodyIsWanted) {
  start();
  HttpClient client(port());
  client.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.answer().status, 100);
  client.send("{}");
  EXPECT_EQ(client.answer().body, "{}");
}

TEST_F(HttpServerTest, SlowRequestsEnd) {
  start();
  const auto began = steady_clock::now();
  HttpClient silent(port());
  HttpClient head(port());
  HttpClient body(port());
  head.send("GET /hello HTTP/1.1\r\nHo");
  body.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n");
  // A byte now and then does not help.
  std::thread drip([&] {
    for (int i = 0; i < 40; ++i) {
      if (!head.send("a") || !body.send("a")) return;
      std::this_thread::sleep_for(milliseconds(50));
    }
  });
  HttpClient other(port());
  EXPECT_EQ(other.request("GET", "/hello").status, 200) << "others are answered meanwhile";
  EXPECT_EQ(head.answer().status, 408);
  EXPECT_EQ(body.answer().status, 408);
  EXPECT_TRUE(silent.closed());
  EXPECT_LT(steady_clock::now() - began, seconds(10));
  drip.join();
  const auto known = records(3);
  EXPECT_EQ(std::count_if(known.begin(), known.end(), [](const auto& r) { return r.status == 408; }), 2);
}

TEST_F(HttpServerTest, IdleConnectionsEnd) {
  start();
  HttpClient client(port());
  EXPECT_EQ(client.request("GET", "/hello").status, 200);
  const auto began = steady_clock::now();
  EXPECT_TRUE(client.closed());
  EXPECT_GT(steady_clock::now() - began, milliseconds(500));
}

TEST_F(HttpServerTest, StreamsArriveAtOnceAndWhole) {
  start();
  HttpClient client(port());
  const HttpAnswer answer = client.request("GET", "/stream?n=100&bytes=10");
  EXPECT_EQ(answer.headers.at("content-type"), "text/event-stream");
  EXPECT_EQ(answer.headers.at("x-accel-buffering"), "no");
  EXPECT_EQ(answer.body, std::string(1000, 'x'));
  EXPECT_TRUE(answer.whole);
  EXPECT_EQ(client.request("GET", "/hello").status, 200) << "the connection goes on";
  const HttpAnswer empty = client.request("GET", "/stream?n=3&bytes=0");
  EXPECT_TRUE(empty.whole);
  EXPECT_EQ(empty.body, "");
  HttpClient old(port());  // HTTP/1.0 knows no chunks
  old.send("GET /stream?n=2&bytes=3 HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.answer().body, "xxxxxx");
  HttpClient old_alive(port());
  old_alive.send("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(old_alive.answer().headers.at("connection"), "keep-alive");
}

TEST_F(HttpServerTest, WhoHangsUpIsNoticed) {
  start();
  {
    HttpClient waiting(port());
    waiting.send("POST /held HTTP/1.1\r\nHost: localhost\r\n\r\n");
    ASSERT_TRUE(wait_for_held(1));
    HttpClient streaming(port());
    streaming.send("GET /stream?n=100000000&bytes=100 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    streaming.receive();
  }
  for (const RequestRecord& record : records(2)) EXPECT_TRUE(record.cut);
  EXPECT_EQ(left_, 2);
}

TEST_F(HttpServerTest, WhoReadsNothingIsLetGo) {
  start();
  HttpClient lazy(port());
  lazy.small_buffer();
  lazy.send("GET /stream?n=100000000&bytes=100000 HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto known = records(1);
  EXPECT_TRUE(known[0].cut);
  EXPECT_EQ(left_, 1);
}

TEST_F(HttpServerTest, ManyClientsAtOnce) {
  start();
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 64; ++i) {
    threads.emplace_back([&, i] {
      HttpClient client(port());
      for (int round = 0; round < 5; ++round) {
        const std::string body = std::to_string(i * 100 + round);
        if (client.request("POST", "/echo", kJsonHeader, body).body == body) ++right;
        if (client.request("GET", "/stream?n=5&bytes=7").body.size() == 35) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 640);
  EXPECT_EQ(records(640).size(), 640U);
}

TEST_F(HttpServerTest, BeyondTheLimitOfConnections) {
  options_.max_connections = 2;
  start();
  HttpClient first(port());
  HttpClient second(port());
  for (HttpClient* client : {&first, &second}) client->send("POST /held HTTP/1.1\r\nHost: localhost\r\n\r\n");
  ASSERT_TRUE(wait_for_held(2));
  HttpClient third(port());
  const HttpAnswer refused = third.request("GET", "/hello");
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.headers.at("retry-after"), "1");
  EXPECT_EQ(error_of(refused)["type"], "server_error");
  release();
  EXPECT_EQ(first.answer().body, "released");
  EXPECT_EQ(second.answer().body, "released");
  // Both are idle a moment after their answers, the first one longer: whoever comes takes its place.
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_EQ(second.request("GET", "/hello").status, 200);
  std::this_thread::sleep_for(milliseconds(100));
  HttpClient fourth(port());
  EXPECT_EQ(fourth.request("GET", "/hello").status, 200);
  EXPECT_EQ(second.request("GET", "/hello").status, 200);
  EXPECT_TRUE(first.closed(milliseconds(300)));
}

TEST_F(HttpServerTest, UnfinishedHeadsMakeRoom) {
  options_.max_connections = 2;
  options_.rules.request_timeout = seconds(20);
  start();
  HttpClient older(port());
  ASSERT_EQ(older.request("GET", "/hello").status, 200);
  HttpClient newer(port());
  older.send("GET /hello HTTP/1.1\r\nHo");
  std::this_thread::sleep_for(milliseconds(100));
  newer.send("GET /hello HTTP/1.1\r\nHo");
  std::this_thread::sleep_for(milliseconds(100));
  HttpClient third(port());
  EXPECT_EQ(third.request("GET", "/hello").status, 200);
  EXPECT_TRUE(older.closed(milliseconds(300)));
  newer.send("st: localhost\r\n\r\n");
  EXPECT_EQ(newer.answer().status, 200) << "one was enough";
  const auto known = records(4);
  EXPECT_EQ(std::count_if(known.begin(), known.end(), [](const auto& r) { return r.cut; }), 1);
}

TEST_F(HttpServerTest, StopsWhenAnswersAreFinished) {
  start();
  HttpClient idle(port());
  EXPECT_EQ(idle.request("GET", "/hello").status, 200);
  HttpClient busy(port());
  busy.send("POST /held HTTP/1.1\r\nHost: localhost\r\n\r\n");
  ASSERT_TRUE(wait_for_held(1));
  const int stopped_port = port();
  std::atomic<bool> stopped = false;
  std::thread stopper([&] {
    EXPECT_TRUE(server_->stop(seconds(20)));
    stopped = true;
  });
  EXPECT_TRUE(idle.closed());
  EXPECT_THROW(
      {
        for (int i = 0; i < 400; ++i) {  // the listening socket closes a moment later
          HttpClient late(stopped_port);
          std::this_thread::sleep_for(milliseconds(5));
        }
      },
      Error);
  EXPECT_FALSE(stopped);
  release();
  const HttpAnswer answer = busy.answer();
  EXPECT_EQ(answer.body, "released");
  EXPECT_EQ(answer.headers.at("connection"), "close");
  stopper.join();
}

TEST_F(HttpServerTest, CutsWhatDoesNotFinish) {
  start();
  HttpClient busy(port());
  busy.send("POST /held HTTP/1.1\r\nHost: localhost\r\n\r\n");
  ASSERT_TRUE(wait_for_held(1));
  std::thread stopper([&] { EXPECT_FALSE(server_->stop(seconds(60))); });
  std::this_thread::sleep_for(milliseconds(50));
  const auto began = steady_clock::now();
  EXPECT_FALSE(server_->stop(milliseconds(100))) << "a second, more urgent call";
  stopper.join();
  EXPECT_LT(steady_clock::now() - began, seconds(10));
  EXPECT_EQ(left_, 1);
}

TEST_F(HttpServerTest, OtherAddresses) {
  options_.host = "::1";
  start();
  HttpClient six(HttpAddress{.host = "::1", .port = port()});
  EXPECT_EQ(six.request("GET", "/hello", "Host: [::1]:80\r\n").body, "hello");
  EXPECT_TRUE(server_->loopback());
  server_.reset();
  options_.host = "localhost";
  start();
  EXPECT_EQ(HttpClient(port()).request("GET", "/hello").body, "hello");
  server_.reset();
  options_.host = "*";
  start();
  EXPECT_FALSE(server_->loopback());
  EXPECT_EQ(HttpClient(port()).request("GET", "/hello").body, "hello");
  HttpServerOptions taken = options_;
  taken.port = port();
  expect_error([&] { HttpServer(taken, {}); },
               {"cannot listen at *, port " + std::to_string(port()), "in use"});
}

TEST_F(HttpServerTest, UnixSockets) {
  const TempDir dir;
  const std::string path = dir.file("rotor.sock");
  options_.host = "unix:" + path;
  start();
  EXPECT_EQ(HttpClient(path).request("GET", "/hello").body, "hello");
  EXPECT_EQ(records(1)[0].remote, "unix");
  expect_error([&] { HttpServer(options_, {}); }, {"cannot listen at unix:" + path});
  server_.reset();
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace rotor::test
