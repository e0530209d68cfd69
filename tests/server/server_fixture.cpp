// Routes for tests of the transport.
#include "tests/server/server_fixture.h"

#include <thread>

#include "runtime/server/http/api_error.h"

namespace rotor::test {
namespace {

using runtime::server::ApiError;
using runtime::server::HttpRequest;
using runtime::server::HttpResponse;
using runtime::server::HttpRoute;
using runtime::server::HttpWrite;
using std::chrono::milliseconds;
using std::chrono::seconds;

HttpResponse text(std::string body) {
  HttpResponse response;
  response.content_type = "text/plain";
  response.body = std::move(body);
  return response;
}

size_t number(const HttpRequest& request, const std::string& name) {
  const auto found = request.query.find(name);
  return found == request.query.end() ? 0 : std::stoul(found->second);
}

HttpResponse throw_something(const HttpRequest& request) {
  const std::string what = request.query.find("what")->second;
  if (what == "api") throw ApiError(404, "no such model", "model", "model_not_found");
  if (what == "error") fail("model.rotor: expected a number, found \"x\"");
  if (what == "other") throw std::runtime_error("secret of the inside");
  HttpResponse response;
  response.stream = [](const HttpWrite& write) {
    write("begun");
    throw std::runtime_error("too late");
  };
  return response;
}

}  // namespace

HttpServerTest::HttpServerTest() {
  options_.port = 0;
  options_.rules.request_timeout = milliseconds(600);
  options_.idle_timeout = milliseconds(900);
  options_.write_timeout = milliseconds(500);
  options_.rules.max_body_bytes = 10'000;
  options_.rules.max_head_bytes = 4096;
}

void HttpServerTest::start() {
  options_.on_request = [this](const RequestRecord& record) {
    const std::lock_guard<std::mutex> lock(mutex_);
    records_.push_back(record);
    changed_.notify_all();
  };
  const auto stream = [this](const HttpRequest& request) {
    HttpResponse response;
    response.content_type = "text/event-stream";
    response.stream = [this, count = number(request, "n"),
                       bytes = number(request, "bytes")](const HttpWrite& write) {
      const std::string piece(bytes, 'x');
      for (size_t i = 0; i < count; ++i) {
        if (write(piece)) continue;
        ++left_;
        return;
      }
    };
    return response;
  };
  const auto held = [this](const HttpRequest& request) {
    std::unique_lock<std::mutex> lock(mutex_);
    ++held_;
    changed_.notify_all();
    while (!released_) {
      changed_.wait_for(lock, milliseconds(10));
      if (!request.gone()) continue;
      ++left_;
      --held_;
      return text("nobody reads this");
    }
    return text("released");
  };
  std::vector<HttpRoute> routes = {
      {"GET", "/hello", [](const HttpRequest&) { return text("hello"); }},
      {"GET", "/open", [](const HttpRequest&) { return text("open"); }, false},
      {"POST", "/echo", [](const HttpRequest& request) { return text(request.body); }},
      {"POST", "/count",
       [](const HttpRequest& request) { return text(std::to_string(request.body.size())); }},
      {"GET", "/page/*", [](const HttpRequest& request) { return text(request.path); }},
      {"GET", "/stream", stream},
      {"POST", "/held", held},
      {"GET", "/throw", throw_something}};
  server_ = std::make_unique<HttpServer>(options_, std::move(routes));
  server_->start();
}

void HttpServerTest::release() {
  const std::lock_guard<std::mutex> lock(mutex_);
  released_ = true;
  changed_.notify_all();
}

bool HttpServerTest::wait_for_held(int count) {
  std::unique_lock<std::mutex> lock(mutex_);
  return changed_.wait_for(lock, seconds(20), [&] { return held_ >= count; });
}

std::vector<RequestRecord> HttpServerTest::records(size_t count) {
  std::unique_lock<std::mutex> lock(mutex_);
  EXPECT_TRUE(changed_.wait_for(lock, seconds(20), [&] { return records_.size() >= count; }))
      << records_.size() << " of " << count << " requests were answered";
  return records_;
}

void HttpServerTest::TearDown() {
  release();
  if (server_ != nullptr) server_->stop(seconds(20));
}

}  // namespace rotor::test
