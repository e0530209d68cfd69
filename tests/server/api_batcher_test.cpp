// The API on the real batcher, with a small model of random weights: answers are those of the model alone,
// whoever else is served, and clients that hang up leave nothing behind.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <thread>

#include "tests/server/api_fixture.h"

namespace rotor::runtime::server {
namespace {

using test::ApiTest;

class ApiOnBatcherTest : public ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    batcher_ = std::make_unique<Batcher>(*model_,
                                         BatcherOptions{.session = {.kv = KvType::f32}, .max_sequences = 4});
    api = std::make_unique<Api>(*model_, *batcher_, options);
  }
  void TearDown() override {
    api.reset();
    batcher_.reset();
  }
  void expect_idle() const {
    EXPECT_TRUE(batcher_->drain(std::chrono::seconds(20)));
    EXPECT_EQ(batcher_->statistics().running, 0);
    EXPECT_EQ(batcher_->statistics().pages_used, 0);
  }

  std::unique_ptr<Batcher> batcher_;
};

Json question(const std::string& text, const Json& more = Json::object()) {
  Json body = {{"messages", {{{"role", "user"}, {"content", text}}}}, {"temperature", 0}, {"max_tokens", 8}};
  body.update(more);
  return body;
}

std::string text_of(const Json& answer) {
  return answer["choices"][0]["message"]["content"];
}

TEST_F(ApiOnBatcherTest, AnswersAreThoseOfTheModel) {
  const Json json = answer(kChat, question("ab"));
  Session session = model_->make_session({.kv = KvType::f32});
  Sampler sampler({.temperature = 0.0}, model_->vocab_size());
  const auto prompt = model_->tokenizer()->encode("u:ab<|end|>a:", text::SpecialTokens::parse);
  const GenerateResult expected =
      generate(feed_of(session), prompt, sampler, model_->tokenizer(), {.max_new_tokens = 8});
  EXPECT_EQ(text_of(json), expected.text);
  EXPECT_EQ(json["usage"]["prompt_tokens"], prompt.size());
  EXPECT_EQ(json["usage"]["completion_tokens"], 8);
  EXPECT_EQ(json["choices"][0]["finish_reason"], "length");

  const Stream got = stream(kChat, question("ab"));
  std::string streamed;
  for (const Json& chunk : got.chunks) streamed += chunk["choices"][0]["delta"].value("content", "");
  EXPECT_EQ(streamed, expected.text);
  EXPECT_TRUE(got.done);
}

TEST_F(ApiOnBatcherTest, LogprobsAreOfTheModelAndSumToOne) {
  const Json json = answer(kChat, question("ab", {{"logprobs", true}, {"top_logprobs", 20}}));
  const Json& tokens = json["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(tokens.size(), 8U);
  for (const Json& token : tokens) {
    EXPECT_EQ(token["logprob"], token["top_logprobs"][0]["logprob"]) << "greedy";
    EXPECT_EQ(token["top_logprobs"].size(), 20U);
    double sum = 0.0;
    for (const Json& other : token["top_logprobs"]) sum += std::exp(other["logprob"].get<double>());
    EXPECT_GT(sum, 20.0 / 264.0);
    EXPECT_LT(sum, 1.0);
  }
}

TEST_F(ApiOnBatcherTest, ManyClientsGetWhatOneGets) {
  std::vector<std::string> alone;
  const auto ask = [&](int i) {
    return text_of(answer(kChat, question(std::string(static_cast<size_t>(i % 5 + 1), 'a'))));
  };
  for (int i = 0; i < 5; ++i) alone.push_back(ask(i));
  std::atomic<int> wrong = 0;
  std::vector<std::thread> clients;
  for (int c = 0; c < 8; ++c) {
    clients.emplace_back([&, c] {
      for (int i = 0; i < 5; ++i) {
        try {
          wrong += ask(c + i) != alone[static_cast<size_t>((c + i) % 5)] ? 1 : 0;
        } catch (const std::exception&) {
          ++wrong;
        }
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(wrong, 0);
  expect_idle();
}

TEST_F(ApiOnBatcherTest, ClientsThatHangUpFreeTheirPlaces) {
  for (int i = 0; i < 20; ++i) {
    stream(kChat, question("ab", {{"n", 3}, {"max_tokens", 40}}), 1 + static_cast<size_t>(i % 3));
  }
  expect_idle();
  EXPECT_GT(batcher_->statistics().cancelled, 0U);
}

TEST_F(ApiOnBatcherTest, EmbeddingsHaveLengthOne) {
  const Json json = answer("/v1/embeddings", {{"input", std::vector<std::string>(20, "abc")}});
  ASSERT_EQ(json["data"].size(), 20U);
  double square = 0.0;
  for (const Json& value : json["data"][0]["embedding"]) square += value.get<double>() * value.get<double>();
  EXPECT_NEAR(square, 1.0, 1e-5);  // float32 values, rounded to nine digits
  EXPECT_EQ(json["data"][0]["embedding"].size(), 40U);
  EXPECT_EQ(json["usage"]["prompt_tokens"], 20);
}

TEST_F(ApiOnBatcherTest, SeedsMakeAnswersTheSame) {
  const Json body = question("ab", {{"temperature", 1.5}, {"seed", 7}, {"n", 2}});
  const Json first = answer(kChat, body);
  EXPECT_EQ(first["choices"], answer(kChat, body)["choices"]);
  EXPECT_NE(first["choices"][0]["message"], first["choices"][1]["message"]);
}

TEST_F(ApiOnBatcherTest, StopStringsAndLimitsEndTexts) {
  const std::string whole = answer(
      "/v1/completions", {{"prompt", "ab"}, {"temperature", 0}, {"max_tokens", 20}})["choices"][0]["text"];
  const auto ascii =
      std::ranges::find_if(whole.begin() + 1, whole.end(), [](char c) { return c > ' ' && c < 0x7F; });
  ASSERT_NE(ascii, whole.end()) << whole;
  const std::string stop(1, *ascii);
  const Json json =
      answer("/v1/completions", {{"prompt", "ab"}, {"temperature", 0}, {"max_tokens", 20}, {"stop", stop}});
  EXPECT_EQ(json["choices"][0]["text"], whole.substr(0, whole.find(stop)));
  EXPECT_EQ(json["choices"][0]["finish_reason"], "stop");
  const Json full = answer("/v1/completions", {{"prompt", std::string(60, '!')}, {"max_tokens", 1000}});
  EXPECT_EQ(full["choices"][0]["finish_reason"], "length") << "the context is full";
}

TEST_F(ApiOnBatcherTest, AServerThatStopsSaysSo) {
  batcher_->stop_accepting();
  expect_refusal(kChat, question("ab").dump(), 503, "", "stopping");
}

}  // namespace
}  // namespace rotor::runtime::server
