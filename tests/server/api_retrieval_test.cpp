// Answers from a knowledge base: what requests may ask, what the model reads, and what answers say of it.
#include <atomic>
#include <cmath>
#include <thread>

#include "runtime/engine/log_probabilities.h"
#include "tests/server/api_fixture.h"

namespace rotor::runtime::server {
namespace {

using retrieval::Mode;
using retrieval::Retrieval;
using retrieval::RetrievalOptions;
using retrieval::RetrievalRequest;
using test::FakeBatch;

/// Finds what a test says.
class FakeFinder final : public retrieval::SourceFinder {
 public:
  Retrieval retrieve(const RetrievalRequest& request) const override {
    requests.push_back(request);
    return find(request);
  }
  void check(const RetrievalOptions& options) const override {
    options.validate();
    for (const std::string& condition : options.filter) {
      if (condition == "bad") fail("filter: expected FIELD=VALUE, found bad");
    }
  }

  std::function<Retrieval(const RetrievalRequest&)> find;
  mutable std::vector<RetrievalRequest> requests;
};

Retrieval two_sources() {
  Retrieval found;
  found.outcome = retrieval::Outcome::used;
  found.reason = "score 0.62";
  found.context = "S<|end|>:";
  found.search_ms = 4.0;
  found.sources = {{.number = 1,
                    .title = "T\"1",
                    .source = "a.md",
                    .heading = "H",
                    .line = 7,
                    .score = 0.62,
                    .text = "one\n</script>"},
                   {.number = 2, .title = "T2", .source = "b.pdf", .heading = "", .page = 3, .text = "two"}};
  return found;
}

Retrieval nothing(retrieval::Outcome outcome, const std::string& reason) {
  Retrieval found;
  found.outcome = outcome;
  found.reason = reason;
  return found;
}

class ApiRetrievalTest : public test::ApiTest {
 protected:
  void SetUp() override {
    ApiTest::SetUp();
    finder_ = std::make_shared<FakeFinder>();
    finder_->find = [](const auto&) { return two_sources(); };
    options.sources = finder_;
    options.retrieved = [this](const Retrieval& found) { note(found_, found); };
    batch.script = [](const auto&, size_t) { return FakeBatch::say({"It is so [", "2]."}); };
  }
  const RetrievalRequest& asked(size_t index = 0) const { return finder_->requests.at(index); }

  std::shared_ptr<FakeFinder> finder_;
  std::vector<Retrieval> found_;
};

TEST_F(ApiRetrievalTest, SourcesStandBeforeTheQuestionAndInTheAnswer) {
  const Json json = chat({{"messages",
                           {{{"role", "user"}, {"content", "first"}},
                            {{"role", "assistant"}, {"content", "yes"}},
                            {{"role", "user"}, {"content", "and then?"}}}}});
  EXPECT_EQ(prompt_text(), "u:first<|end|>a:yes<|end|>u:S<|end|>:and then?<|end|>a:");
  const auto& prompt = batch.requests.at(0).prompt;
  const auto end = model_->tokenizer()->encode("<|end|>", text::SpecialTokens::parse).at(0);
  EXPECT_EQ(std::ranges::count(prompt, end), 3) << "sources hold no special tokens";
  EXPECT_EQ(asked().question, "first\nand then?");
  EXPECT_EQ(json["retrieval"], (Json{{"used", true}, {"reason", "score 0.62"}}));
  EXPECT_EQ(json["sources"], Json::parse(R"([
      {"number": 1, "title": "T\"1", "source": "a.md", "heading": "H", "line": 7, "page": null, "score": 0.62,
       "text": "one\n</script>", "cited": false},
      {"number": 2, "title": "T2", "source": "b.pdf", "heading": "", "line": null, "page": 3, "score": null,
       "text": "two", "cited": true}])"));
  EXPECT_EQ(json["choices"][0]["message"]["content"], "It is so [2].");
  EXPECT_EQ(json["usage"]["prompt_tokens"], prompt.size());
  ASSERT_EQ(found_.size(), 1U);
  EXPECT_EQ(found_[0].outcome, retrieval::Outcome::used);
}

TEST_F(ApiRetrievalTest, WithoutSourcesTheAnswerSaysWhy) {
  finder_->find = [](const auto&) {
    return nothing(retrieval::Outcome::irrelevant, "score 0.31 below 0.35");
  };
  const Json json = chat();
  EXPECT_EQ(prompt_text(), "u:ab<|end|>a:");
  EXPECT_EQ(json["retrieval"], (Json{{"used", false}, {"reason", "score 0.31 below 0.35"}}));
  EXPECT_EQ(json["sources"], Json::array());
  finder_->find = [](const auto&) {
    Retrieval lost = nothing(retrieval::Outcome::failed, "the knowledge base could not be searched");
    lost.failure = "db.internal: connection refused";
    return lost;
  };
  const std::string body = respond(kChat, R"({"messages": [{"role": "user", "content": "x"}]})").body;
  EXPECT_EQ(body.find("db.internal"), std::string::npos) << "what only the operator is to know";
  EXPECT_EQ(found_.at(1).failure, "db.internal: connection refused");
}

TEST_F(ApiRetrievalTest, AStreamHasSourcesFirstAndCitationsLast) {
  batch.script = [](const auto&, size_t index) {
    return index == 0 ? FakeBatch::say({"So [", "2][1], [3]."}) : FakeBatch::say({"No."});
  };
  const Stream got = stream(kChat, {{"messages", {{{"role", "user"}, {"content", "q"}}}},
                                    {"n", 2},
                                    {"stream_options", {{"include_usage", true}}}});
  ASSERT_GE(got.chunks.size(), 6U);
  EXPECT_TRUE(got.done);
  const Json& first = got.chunks[0];
  EXPECT_EQ(first["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(first["retrieval"]["used"], true);
  ASSERT_EQ(first["sources"].size(), 2U);
  EXPECT_EQ(first["sources"][1]["page"], 3);
  EXPECT_FALSE(first["sources"][0].contains("cited")) << "not known yet";
  for (size_t i = 1; i < got.chunks.size(); ++i) {
    const Json& chunk = got.chunks[i];
    EXPECT_FALSE(chunk.contains("sources") || chunk.contains("retrieval")) << chunk;
    const bool is_last = !chunk["choices"].empty() && !chunk["choices"][0]["finish_reason"].is_null();
    EXPECT_EQ(chunk.contains("cited"), is_last) << chunk;
    if (is_last) {
      EXPECT_EQ(chunk["cited"], chunk["choices"][0]["index"] == 0 ? Json::array({2, 1}) : Json::array());
    }
  }
  finder_->find = [](const auto&) {
    return nothing(retrieval::Outcome::sure, "the model is sure (0.1 nats)");
  };
  const Stream none = stream(kChat, {{"messages", {{{"role", "user"}, {"content", "q"}}}}});
  EXPECT_EQ(none.chunks[0]["retrieval"]["reason"], "the model is sure (0.1 nats)");
  EXPECT_EQ(none.chunks[0]["sources"], Json::array());
  for (const Json& chunk : none.chunks) EXPECT_FALSE(chunk.contains("cited"));
}

TEST_F(ApiRetrievalTest, RequestsChooseWhatTheyWant) {
  options.retrieval = {.mode = Mode::always, .count = 4, .budget_tokens = 9, .filter = {"public=true"}};
  const auto options_of = [&](const Json& wanted) {
    chat({{"retrieval", wanted}});
    return finder_->requests.back().options;
  };
  const RetrievalOptions usual = options_of(nullptr);
  EXPECT_EQ(usual.mode, Mode::always);
  EXPECT_EQ(usual.count, 4);
  EXPECT_EQ(usual.budget_tokens, 9);
  EXPECT_EQ(options_of("auto").mode, Mode::automatic);
  EXPECT_EQ(options_of("never").mode, Mode::never);
  const RetrievalOptions all = options_of({{"mode", "auto"},
                                           {"count", 2},
                                           {"budget", 7},
                                           {"filter", {"year>=2020", "tag=x"}},
                                           {"min_score", 0.5}});
  EXPECT_EQ(all.mode, Mode::automatic);
  EXPECT_EQ(all.count, 2);
  EXPECT_EQ(all.budget_tokens, 7);
  EXPECT_EQ(all.min_score, 0.5);
  EXPECT_EQ(all.filter, (std::vector<std::string>{"public=true", "year>=2020", "tag=x"}))
      << "the operator's condition stays";
  EXPECT_EQ(options_of({{"count", 3}}).mode, Mode::always) << "the server's";
  // A third of the context is the most, and an answer keeps its room.
  EXPECT_EQ(options_of({{"budget", kContext}}).budget_tokens, kContext / 3);
  chat({{"messages", {{{"role", "user"}, {"content", std::string(40, 'x')}}}},
        {"retrieval", {{"budget", kContext}}}});
  EXPECT_EQ(finder_->requests.back().options.budget_tokens, kContext - kContext / 4 - 45);
}

TEST_F(ApiRetrievalTest, BadFieldsAreRefused) {
  const auto refuse = [&](const Json& wanted, const std::string& param, const std::string& part) {
    const Json body = {{"messages", {{{"role", "user"}, {"content", "q"}}}}, {"retrieval", wanted}};
    expect_refusal(kChat, body.dump(), 400, param, part);
  };
  refuse("often", "retrieval", "found \"often\"");
  refuse(true, "retrieval", "\"never\" or an object");
  refuse({{"mode", 1}}, "retrieval.mode", "found 1");
  refuse({{"count", 0}}, "retrieval.count", "1 to 20");
  refuse({{"count", 21}}, "retrieval.count", "1 to 20");
  refuse({{"count", 1.5}}, "retrieval.count", "1.5");
  refuse({{"budget", 65}}, "retrieval.budget", "1 to 64");
  refuse({{"min_score", 2}}, "retrieval.min_score", "-1 to 1");
  refuse({{"filter", "year>=2020"}}, "retrieval.filter", "an array");
  refuse({{"filter", {1}}}, "retrieval.filter[0]", "a text");
  refuse({{"filter", {"bad"}}}, "retrieval.filter", "FIELD=VALUE");
  refuse({{"filter", std::vector<std::string>(17, "a=b")}}, "retrieval.filter", "at most 16");
  EXPECT_TRUE(finder_->requests.empty() && batch.requests.empty()) << "nothing was begun";
  chat({{"retrieval", {{"surprise", 1}}}});
  EXPECT_EQ(said.size(), 1U) << "what nobody knows is ignored, and said";
}

TEST_F(ApiRetrievalTest, AServerWithoutABaseSaysSo) {
  options.sources = nullptr;
  const Json plain = chat();
  EXPECT_FALSE(plain.contains("sources") || plain.contains("retrieval"));
  EXPECT_FALSE(chat({{"retrieval", "never"}}).contains("retrieval")) << "that is what there is";
  for (const Json& wanted : {Json("auto"), Json("always"), Json{{"count", 1}}}) {
    expect_refusal(kChat,
                   Json{{"messages", {{{"role", "user"}, {"content", "q"}}}}, {"retrieval", wanted}}.dump(),
                   400, "retrieval", "no knowledge base");
  }
  EXPECT_FALSE(answer("/v1/models", {}, "GET")["data"][0].contains("retrieval"));
}

TEST_F(ApiRetrievalTest, TheModelsSayThatThereIsABase) {
  options.retrieval.mode = Mode::never;
  EXPECT_EQ(answer("/v1/models", {}, "GET")["data"][0]["retrieval"], "never");
  EXPECT_EQ(answer("/v1/models/m", {}, "GET")["retrieval"], "never");
}

TEST_F(ApiRetrievalTest, TheProbeIsAShortGreedyAnswerWithoutSources) {
  batch.script = [](const runtime::BatchRequest& request, size_t) {
    FakeBatch::Pieces pieces = FakeBatch::say({"x"});
    if (request.entropy) pieces.back().entropy = 1.25;
    return pieces;
  };
  std::optional<double> entropy;
  finder_->find = [&](const RetrievalRequest& request) {
    entropy = request.uncertainty();
    return two_sources();
  };
  const Json json = chat({{"max_tokens", 3}, {"temperature", 1.5}});
  EXPECT_EQ(entropy, 1.25);
  ASSERT_EQ(batch.requests.size(), 2U);
  EXPECT_EQ(prompt_text(0), "u:ab<|end|>a:");
  EXPECT_EQ(batch.requests[0].max_new_tokens, 8);
  EXPECT_EQ(batch.requests[0].sampling.temperature, 0.0);
  EXPECT_EQ(prompt_text(1), "u:S<|end|>:ab<|end|>a:");
  EXPECT_FALSE(batch.requests[1].entropy);
  EXPECT_EQ(json["usage"]["completion_tokens"], 1) << "the probe is no part of the answer";
}

TEST_F(ApiRetrievalTest, AClientThatLeavesEndsSearchAndProbe) {
  batch.script = [](const auto&, size_t) { return FakeBatch::Pieces(); };  // never ends
  finder_->find = [&](const RetrievalRequest& request) {
    EXPECT_TRUE(request.keep_going());
    gone = true;
    EXPECT_FALSE(request.keep_going());
    EXPECT_FALSE(request.uncertainty().has_value());
    return nothing(retrieval::Outcome::failed, "the search was given up");
  };
  EXPECT_EQ(respond(kChat, R"({"messages": [{"role": "user", "content": "x"}]})").status, 499);
}

TEST_F(ApiRetrievalTest, ASlowSearchKeepsNobodyElseWaiting) {
  std::atomic<bool> released = false;
  std::atomic<bool> searching = false;
  finder_->find = [&](const RetrievalRequest& request) {
    if (request.question != "slow") return nothing(retrieval::Outcome::nothing, "nothing was found");
    searching = true;
    while (!released) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return two_sources();
  };
  Batcher batcher(*model_, {.session = {.kv = KvType::f32}, .max_sequences = 4});
  api = std::make_unique<Api>(*model_, batcher, options);
  Json slow;
  std::thread waiting([&] {
    slow = chat({{"messages", {{{"role", "user"}, {"content", "slow"}}}}, {"max_tokens", 2}});
  });
  while (!searching) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  for (int i = 0; i < 3; ++i) {
    const Stream other =
        stream(kChat, {{"messages", {{{"role", "user"}, {"content", "fast"}}}}, {"max_tokens", 4}});
    EXPECT_TRUE(other.done);
  }
  EXPECT_TRUE(slow.is_null());
  released = true;
  waiting.join();
  EXPECT_EQ(slow["sources"].size(), 2U);
}

TEST_F(ApiRetrievalTest, InTheBatchTheProbeTellsTheModelsEntropy) {
  std::optional<double> entropy;
  finder_->find = [&](const RetrievalRequest& request) {
    entropy = request.uncertainty();
    return nothing(retrieval::Outcome::sure, "sure");
  };
  Batcher batcher(*model_, {.session = {.kv = KvType::f32}, .max_sequences = 4});
  api = std::make_unique<Api>(*model_, batcher, options);
  const Json json = chat({{"max_tokens", 2}});
  Session session = model_->make_session({.kv = KvType::f32});
  Sampler sampler({.temperature = 0.0}, model_->vocab_size());
  const auto prompt = model_->tokenizer()->encode("u:ab<|end|>a:", text::SpecialTokens::parse);
  const GenerateResult plain =
      generate(feed_of(session), prompt, sampler, nullptr,
               {.max_new_tokens = 8, .stop_tokens = model_->stop_tokens(), .entropy = true});
  EXPECT_NEAR(entropy.value(), plain.entropy.value(), 1e-4);
  EXPECT_EQ(json["retrieval"]["used"], false);
}

}  // namespace
}  // namespace rotor::runtime::server
