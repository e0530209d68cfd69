// cpp-httplib around the page's routes and scripted streams.
#include "tests/server/fake_api.h"

#include <httplib.h>

#include <regex>
#include <utility>

#include "runtime/server/page.h"

namespace rotor::test {
namespace {

using nlohmann::json;
using runtime::server::HttpRequest;
using runtime::server::HttpResponse;
using runtime::server::HttpRoute;

constexpr size_t kThreads = 32;  // a browser holds its connections

void answer_error(httplib::Response& response, int status, const std::string& message) {
  response.status = status;
  response.set_content(
      json{{"error", {{"message", message}, {"type", "server_error"}, {"code", nullptr}}}}.dump(),
      "application/json");
}

std::string event(const json& value) {
  return "data: " + value.dump() + "\r\n\r\n";
}

json chunk(const json& delta, const json& finish_reason) {
  return {{"object", "chat.completion.chunk"},
          {"choices", {{{"index", 0}, {"delta", delta}, {"finish_reason", finish_reason}}}}};
}

/// A response of the page's as it is, without cpp-httplib's own compression.
void answer_with(httplib::Response& to, HttpResponse from) {
  to.status = from.status;
  for (const auto& [name, value] : from.headers) to.set_header(name, value);
  auto body = std::make_shared<std::string>(std::move(from.body));
  if (body->empty()) return;
  to.set_content_provider(body->size(), from.content_type,
                          [body](size_t offset, size_t size, httplib::DataSink& sink) {
                            return sink.write(body->data() + offset, size);
                          });
}

}  // namespace

FakeApi::FakeApi() : server_(std::make_unique<httplib::Server>()) {
  reset();
  server_->new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  server_->set_tcp_nodelay(true);
  mount_page();
  server_->Get("/v1/models", [this](const auto& request, auto& response) { list_models(request, response); });
  server_->Post("/v1/chat/completions",
                [this](const auto& request, auto& response) { complete(request, response); });
  port_ = server_->bind_to_any_port("127.0.0.1");
  thread_ = std::thread([this] { server_->listen_after_bind(); });
}

FakeApi::~FakeApi() {
  stopping_ = true;
  server_->stop();
  thread_.join();
}

void FakeApi::mount_page() {
  for (const HttpRoute& route : runtime::server::page_routes()) {
    const std::string path = std::regex_replace(route.path, std::regex("\\."), "\\.");
    server_->Get(path, [handler = route.handler](const httplib::Request& from, httplib::Response& response) {
      HttpRequest request;
      request.method = from.method;
      request.path = from.path;
      request.header = [&](std::string_view name) {
        return from.get_header_value(std::string(name).c_str());
      };
      answer_with(response, handler(request));
    });
  }
}

std::string FakeApi::address() const {
  return "http://127.0.0.1:" + std::to_string(port_) + "/";
}

void FakeApi::next(ScriptedAnswer answer) {
  const std::lock_guard lock(mutex_);
  answers_.push_back(std::move(answer));
}

void FakeApi::set_key(const std::string& key) {
  const std::lock_guard lock(mutex_);
  key_ = key;
}

void FakeApi::set_models(std::vector<std::string> models) {
  const std::lock_guard lock(mutex_);
  models_ = std::move(models);
}

void FakeApi::set_retrieval(const json& retrieval) {
  const std::lock_guard lock(mutex_);
  retrieval_ = retrieval;
}

std::vector<json> FakeApi::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

json FakeApi::last_request() const {
  const std::lock_guard lock(mutex_);
  return requests_.empty() ? json() : requests_.back();
}

int FakeApi::hangups() const {
  for (int i = 0; i < 200 && hangups_ == 0; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return hangups_;
}

void FakeApi::reset() {
  const std::lock_guard lock(mutex_);
  answers_.clear();
  requests_.clear();
  models_ = {"rotor-test"};
  retrieval_ = nullptr;
  key_.clear();
  hangups_ = 0;
}

bool FakeApi::has_key(const httplib::Request& request, httplib::Response& response) const {
  const std::lock_guard lock(mutex_);
  if (key_.empty() || request.get_header_value("Authorization") == "Bearer " + key_) return true;
  answer_error(response, 401, "Incorrect API key provided.");
  return false;
}

void FakeApi::list_models(const httplib::Request& request, httplib::Response& response) {
  if (!has_key(request, response)) return;
  json data = json::array();
  const std::lock_guard lock(mutex_);
  for (const std::string& model : models_) {
    data.push_back({{"id", model}, {"object", "model"}});
    if (!retrieval_.is_null()) data.back()["retrieval"] = retrieval_;
  }
  response.set_content(json{{"object", "list"}, {"data", data}}.dump(), "application/json");
}

void FakeApi::complete(const httplib::Request& request, httplib::Response& response) {
  if (!has_key(request, response)) return;
  const json body = json::parse(request.body);
  auto answer = std::make_shared<ScriptedAnswer>();
  {
    const std::lock_guard lock(mutex_);
    requests_.push_back(body);
    if (answers_.empty()) {
      answer->pieces = {"You said: ", body["messages"].back()["content"]};
    } else {
      *answer = std::move(answers_.front());
      answers_.pop_front();
    }
  }
  if (!answer->retry_after.empty()) response.set_header("Retry-After", answer->retry_after);
  if (answer->status != 200) return answer_error(response, answer->status, answer->error);
  response.set_chunked_content_provider("text/event-stream", [this, answer](size_t, httplib::DataSink& sink) {
    const auto send = [&](const std::string& bytes) { return sink.write(bytes.data(), bytes.size()); };
    json first = chunk({{"role", "assistant"}, {"content", ""}}, nullptr);
    if (!answer->sources.is_null()) first["sources"] = answer->sources;
    if (!answer->retrieval.is_null()) first["retrieval"] = answer->retrieval;
    send(event(first));
    for (const std::string& piece : answer->pieces) {
      if (answer->pause.count() > 0) std::this_thread::sleep_for(answer->pause);
      if (!sink.is_writable() || !send(event(chunk({{"content", piece}}, nullptr)))) {
        ++hangups_;
        return false;
      }
    }
    if (answer->hangs) {
      while (!stopping_ && sink.is_writable()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      if (!stopping_) ++hangups_;
      return false;
    }
    if (answer->breaks_off) {
      // A browser drops what it has not read yet when a connection breaks.
      std::this_thread::sleep_for(std::chrono::milliseconds(200));
      return false;
    }
    if (!answer->error.empty()) {
      send(event({{"error", {{"message", answer->error}, {"type", "server_error"}}}}));
    } else {
      json last = chunk(json::object(), answer->finish_reason);
      if (!answer->cited.is_null()) last["cited"] = answer->cited;
      send(event(last));
      const json usage = {{"choices", json::array()},
                          {"usage", {{"prompt_tokens", 7}, {"completion_tokens", answer->pieces.size()}}}};
      send(event(usage));
    }
    send("data: [DONE]\n\n");
    sink.done();
    return true;
  });
}

}  // namespace rotor::test
