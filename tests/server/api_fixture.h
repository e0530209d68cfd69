// The API around a small model and a batch that says what a test wants.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "rotor/formats/json.h"
#include "runtime/server/api/api.h"
#include "tests/server/fake_batch.h"
#include "tests/support/chat_model.h"
#include "tests/support/temp_dir.h"

namespace rotor::test {

class ApiTest : public ::testing::Test {
 protected:
  using ApiError = runtime::server::ApiError;
  static constexpr int64_t kContext = 64;
  static constexpr const char* kChat = "/v1/chat/completions";

  static void SetUpTestSuite() {
    files_ = new TempDir;
    write_chat_model(files_->file("m.rotor"), kContext);
    model_ = new runtime::LanguageModel(files_->file("m.rotor"));
  }
  static void TearDownTestSuite() {
    delete model_;
    delete files_;
    model_ = nullptr;
  }
  void SetUp() override {
    batch.script = [](const auto&, size_t) { return FakeBatch::say({"Hel", "lo"}); };
    options.record = [this](const auto& record) { note(records, record); };
    options.debug = [this](const std::string& message) { note(said, message); };
  }

  /// Handlers of many threads tell what they did.
  void note(auto& list, const auto& entry) {
    const std::lock_guard lock(mutex_);
    list.push_back(entry);
  }

  /// What the handler of that path gives. Throws what it throws.
  runtime::server::HttpResponse respond(const std::string& path, const std::string& body,
                                        const std::string& method = "POST") {
    if (api == nullptr) {
      api = std::make_unique<runtime::server::Api>(*model_, batch.submit(), context, options);
    }
    runtime::server::HttpRequest request;
    request.method = method;
    request.path = path;
    request.body = body;
    request.id = "req-1";
    request.used = [this](const runtime::BatchUsage& usage) { note(used, usage); };
    request.gone = [this] { return gone; };
    for (const auto& route : api->routes()) {
      const bool is_prefix =
          route.path.ends_with('*') && path.starts_with(route.path.substr(0, route.path.size() - 1));
      if (route.method == method && (route.path == path || is_prefix)) return route.handler(request);
    }
    throw ApiError(404, "no route " + path);
  }
  Json answer(const std::string& path, const Json& body, const std::string& method = "POST") {
    const auto response = respond(path, method == "GET" ? "" : body.dump(), method);
    EXPECT_EQ(response.content_type, "application/json");
    return parse_json(response.body, "the answer");
  }
  Json chat(Json more = Json::object()) {
    if (!more.contains("messages")) more["messages"] = Json::array({{{"role", "user"}, {"content", "ab"}}});
    return answer("/v1/chat/completions", more);
  }

  struct Stream {
    std::vector<Json> chunks;
    bool done = false;  // [DONE] came last
    std::vector<std::string> writes;
  };
  /// The chunks of a stream; the client goes after `most` writes.
  Stream stream(const std::string& path, Json body, size_t most = 1000) {
    body["stream"] = true;
    const auto response = respond(path, body.dump());
    EXPECT_EQ(response.content_type, "text/event-stream");
    EXPECT_TRUE(static_cast<bool>(response.stream));
    Stream stream;
    response.stream([&](std::string_view bytes) {
      stream.writes.emplace_back(bytes);
      return stream.writes.size() < most;
    });
    std::string all;
    for (const std::string& bytes : stream.writes) all += bytes;
    for (size_t begin = 0; begin < all.size();) {
      const size_t end = all.find("\n\n", begin);
      EXPECT_NE(end, std::string::npos) << "an event that does not end";
      const std::string event = all.substr(begin, end - begin);
      begin = end + 2;
      EXPECT_FALSE(stream.done) << "nothing comes behind [DONE]";
      if (event == ":") continue;
      EXPECT_TRUE(event.starts_with("data: ")) << event;
      stream.done = event == "data: [DONE]";
      if (!stream.done) stream.chunks.push_back(parse_json(event.substr(6), "a chunk"));
    }
    return stream;
  }

  /// Expects an ApiError about that field whose message contains `part`.
  void expect_refusal(const std::string& path, const std::string& body, int status, const std::string& param,
                      const std::string& part) {
    try {
      respond(path, body);
    } catch (const ApiError& e) {
      EXPECT_EQ(e.status, status) << body << ": " << e.what();
      EXPECT_EQ(e.param, param) << body << ": " << e.what();
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
      return;
    }
    ADD_FAILURE() << "expected a refusal of " << body;
  }

  std::string prompt_text(size_t request = 0) const {
    return model_->tokenizer()->decode(batch.requests.at(request).prompt);
  }

  static inline TempDir* files_ = nullptr;
  static inline runtime::LanguageModel* model_ = nullptr;
  FakeBatch batch;
  int64_t context = kContext;  // that the batch seems to have
  runtime::server::ApiOptions options;
  std::unique_ptr<runtime::server::Api> api;
  std::vector<runtime::server::GenerationRecord> records;
  std::vector<runtime::BatchUsage> used;
  std::vector<std::string> said;
  bool gone = false;

 private:
  std::mutex mutex_;
};

/// Constraints that only say what they were made from.
class NotedConstraints final : public runtime::server::ConstraintFactory {
 public:
  class Noted final : public runtime::TokenConstraint {
   public:
    bool allows(text::TokenId) override { return true; }
    void restrict(std::span<float>) override {}
    void accept(text::TokenId) override {}
  };
  using Maker = runtime::server::ConstraintMaker;
  Maker from_gbnf(const std::string& grammar) const override {
    if (grammar == "bad") fail("line 1: expected ::=, found \"bad\"");
    made.push_back("gbnf " + grammar);
    return [] { return std::make_shared<Noted>(); };
  }
  Maker from_json_schema(const OrderedJson& schema) const override {
    made.push_back("schema " + schema.dump());
    return [] { return std::make_shared<Noted>(); };
  }
  Maker any_json_object() const override {
    made.push_back("object");
    return [] { return std::make_shared<Noted>(); };
  }
  mutable std::vector<std::string> made;
};

}  // namespace rotor::test
