// Vectors from a server that behaves and from some that do not.
#include "runtime/retrieval/http_embedder.h"

#include <gtest/gtest.h>
#include <httplib.h>

#include <atomic>
#include <functional>
#include <thread>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime::retrieval {
namespace {

using test::expect_error;

/// Answers as `answer` says; by default with a vector of each text's length and one, the last text first.
class HttpEmbedderTest : public ::testing::Test {
 protected:
  HttpEmbedderTest() {
    server_.Get("/v1/models", [this](const httplib::Request&, httplib::Response& response) {
      response.set_content(models_, "application/json");
    });
    server_.Post("/v1/embeddings", [this](const httplib::Request& request, httplib::Response& response) {
      ++requests_;
      seen_ = parse_json(request.body, "request");
      key_ = request.get_header_value("Authorization");
      if (refusals_ > 0) {
        --refusals_;
        response.status = refusal_;
        response.set_content("{\"error\": {\"message\": \"too busy\"}}", "application/json");
        return;
      }
      response.set_content(answer_ ? answer_(seen_) : usual(seen_), "application/json");
    });
    port_ = server_.bind_to_any_port("127.0.0.1");
    thread_ = std::jthread([this] { server_.listen_after_bind(); });
    while (!server_.is_running()) std::this_thread::yield();
  }
  ~HttpEmbedderTest() override { server_.stop(); }

  static std::string usual(const Json& request) {
    Json data = Json::array();
    for (size_t i = request["input"].size(); i-- > 0;) {
      const auto length = static_cast<double>(request["input"][i].get<std::string>().size());
      data.push_back({{"index", i}, {"embedding", {length, 1.0}}});
    }
    return dump_json({{"data", data}});
  }
  std::string address(const std::string& model = "#m") const {
    return "http://127.0.0.1:" + std::to_string(port_) + "/v1" + model;
  }
  std::shared_ptr<rag::Embedder> open(const std::string& model = "#m") {
    return http_embedder(address(model), {.key = "secret", .tries = 3, .first_pause_s = 0.001});
  }

  httplib::Server server_;
  std::string models_ = R"({"data": [{"id": "only"}]})";
  std::function<std::string(const Json&)> answer_;
  std::atomic<int> requests_ = 0;
  int refusals_ = 0;
  int refusal_ = 503;
  Json seen_;
  std::string key_;
  int port_ = 0;
  std::jthread thread_;
};

TEST_F(HttpEmbedderTest, VectorsInOrderAndOfLengthOne) {
  const auto embedder = open();
  EXPECT_EQ(embedder->dimensions(), 2);
  EXPECT_EQ(embedder->id(), "server m");
  const std::vector<std::string> texts = {"abc", "a"};
  const auto vectors = embedder->embed(texts, {});
  ASSERT_EQ(vectors.size(), 4U);
  EXPECT_NEAR(vectors[0], 3 / std::sqrt(10.0), 1e-6);
  EXPECT_NEAR(vectors[1], 1 / std::sqrt(10.0), 1e-6);
  EXPECT_NEAR(vectors[2], 1 / std::sqrt(2.0), 1e-6);
  EXPECT_EQ(seen_["model"], "m");
  EXPECT_EQ(key_, "Bearer secret");
}

TEST_F(HttpEmbedderTest, ManyTextsGoInParts) {
  const auto embedder = open();
  requests_ = 0;
  std::vector<std::string> texts;
  for (int i = 0; i < 150; ++i) texts.push_back(std::string(static_cast<size_t>(i) + 1, 'x'));
  const auto vectors = embedder->embed(texts, {});
  ASSERT_EQ(vectors.size(), 300U);
  EXPECT_EQ(requests_, 3);
  for (size_t i = 0; i < 150; ++i)
    EXPECT_NEAR(vectors[2 * i] / vectors[2 * i + 1], static_cast<float>(i) + 1.0F,
                1e-3F * static_cast<float>(i + 1));
  int asked = 0;
  expect_error([&] { embedder->embed(texts, [&] { return ++asked < 2; }); }, {"stopped"});
}

TEST_F(HttpEmbedderTest, TheOnlyModelNeedsNoName) {
  EXPECT_EQ(open("")->id(), "server only");
  models_ = R"({"data": [{"id": "a"}, {"id": "b"}]})";
  expect_error([&] { open(""); }, {"expected one model", "\"b\"", "#MODEL"});
  models_ = "[]";
  expect_error([&] { open(""); }, {"/v1/models", "expected one model"});
}

TEST_F(HttpEmbedderTest, TriesAgainWhenTheServerIsBusy) {
  const auto embedder = open();
  const std::vector<std::string> texts = {"abc"};
  for (const int status : {503, 429, 500}) {
    refusal_ = status;
    refusals_ = 2;
    EXPECT_EQ(embedder->embed(texts, {}).size(), 2U);
  }
  refusals_ = 100;
  requests_ = 0;
  expect_error([&] { embedder->embed(texts, {}); }, {"/v1/embeddings", "found 500", "3 times", "too busy"});
  EXPECT_EQ(requests_, 3);
  refusal_ = 401;
  requests_ = 0;
  expect_error([&] { embedder->embed(texts, {}); }, {"expected status 200, found 401"});
  EXPECT_EQ(requests_, 1) << "what will not get better is asked once";
}

TEST_F(HttpEmbedderTest, AServerThatIsGoneIsAnError) {
  const auto embedder = open();
  server_.stop();
  thread_.join();
  expect_error([&] { embedder->embed(std::vector<std::string>{"abc"}, {}); },
               {"127.0.0.1", "is the server running"});
}

TEST_F(HttpEmbedderTest, AnswersThatMakeNoSense) {
  const auto embedder = open();
  const std::vector<std::string> texts = {"abc", "d"};
  for (const char* answer :
       {"", "[]", "{}", R"({"data": []})", R"({"data": [{"index": 0, "embedding": [1, 2]}]})",
        R"({"data": [{"index": 0, "embedding": [1, 2]}, {"index": 0, "embedding": [1, 2]}]})",
        R"({"data": [{"index": 0, "embedding": [1, 2]}, {"index": 2, "embedding": [1, 2]}]})",
        R"({"data": [{"index": 0, "embedding": [1, 2]}, {"index": -1, "embedding": [1, 2]}]})",
        R"({"data": [{"index": 0, "embedding": [1, 2]}, {"index": 1, "embedding": [1]}]})",
        R"({"data": [{"index": 0, "embedding": [1, 2]}, {"index": 1, "embedding": [0, 0]}]})",
        R"({"data": [{"index": 0, "embedding": [1, 2]}, {"index": 1, "embedding": ["x", 0]}]})",
        R"({"data": [{"index": 0, "embedding": [1, 2]}, {"index": 1, "embedding": [1e300, 1]}]})"}) {
    SCOPED_TRACE(answer);
    answer_ = [&](const Json&) { return answer; };
    expect_error([&] { embedder->embed(texts, {}); }, {"/v1/embeddings"});
  }
}

TEST(HttpAddress, IsRefusedIfItHasNoHost) {
  EXPECT_TRUE(is_address("https://a/b"));
  EXPECT_FALSE(is_address("models/minilm.rotor"));
  expect_error([] { http_embedder("http:///v1"); }, {"http:///v1", "no host"});
}

}  // namespace
}  // namespace rotor::runtime::retrieval
