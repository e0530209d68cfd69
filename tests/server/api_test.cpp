// Answers field by field, and what of a request reaches the batch.
#include <atomic>
#include <barrier>
#include <cmath>
#include <cstring>
#include <thread>

#include "tests/server/api_fixture.h"
#include "tests/support/adapters.h"
#include "tests/support/models.h"

namespace rotor::runtime::server {
namespace {

using test::ApiTest;
using test::FakeBatch;
using test::NotedConstraints;

BatchToken token(const std::string& bytes, double logprob, std::vector<TokenLogprob> alternatives = {}) {
  return {bytes.empty() ? 0 : static_cast<unsigned char>(bytes[0]), bytes, logprob, std::move(alternatives)};
}

TEST_F(ApiTest, ChatAnswersAsOpenAiDoes) {
  const Json json = chat({{"model", "m"}});
  EXPECT_TRUE(json["id"].get<std::string>().starts_with("chatcmpl-"));
  EXPECT_EQ(json["object"], "chat.completion");
  EXPECT_NEAR(json["created"].get<double>(), static_cast<double>(std::time(nullptr)), 100);
  EXPECT_EQ(json["model"], "m");
  EXPECT_TRUE(json["system_fingerprint"].get<std::string>().starts_with("fp_"));
  EXPECT_EQ(json["choices"], Json::parse(R"([{"index": 0, "logprobs": null, "finish_reason": "stop",
      "message": {"role": "assistant", "content": "Hello", "refusal": null}}])"));
  const auto prompt = static_cast<int64_t>(batch.requests.at(0).prompt.size());
  EXPECT_EQ(json["usage"], (Json{{"prompt_tokens", prompt},
                                 {"completion_tokens", 2},
                                 {"total_tokens", prompt + 2},
                                 {"prompt_tokens_details", {{"cached_tokens", 2}}}}));
  EXPECT_EQ(json.size(), 7U);
  EXPECT_EQ(prompt_text(), "u:ab<|end|>a:");
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].route, "/v1/chat/completions");
  ASSERT_EQ(used.size(), 1U);
  EXPECT_EQ(used[0].completion_tokens, 2);
  EXPECT_EQ(records[0].request_id, "req-1");
  EXPECT_EQ(records[0].outcome, Outcome::stop);
  EXPECT_EQ(records[0].usage.completion_tokens, 2);
}

TEST_F(ApiTest, FieldsReachTheBatch) {
  chat(Json::parse(R"({"temperature": 0.25, "top_p": 0.5, "top_k": 7, "min_p": 0.125, "typical_p": 0.75,
      "repeat_penalty": 1.5, "repeat_last_n": 9, "frequency_penalty": -1, "presence_penalty": 2, "seed": 11,
      "max_completion_tokens": 5, "stop": ["x", "yz"], "logit_bias": {"65": -100, "66": 1.5}, "user": "me",
      "logprobs": true, "top_logprobs": 3, "n": null, "service_tier": "auto", "mystery": 1})"));
  const BatchRequest& request = batch.requests.at(0);
  EXPECT_EQ(request.sampling.temperature, 0.25);
  EXPECT_EQ(request.sampling.top_p, 0.5);
  EXPECT_EQ(request.sampling.top_k, 7);
  EXPECT_EQ(request.sampling.min_p, 0.125);
  EXPECT_EQ(request.sampling.typical_p, 0.75);
  EXPECT_EQ(request.sampling.repeat_penalty, 1.5);
  EXPECT_EQ(request.sampling.repeat_last_n, 9);
  EXPECT_EQ(request.sampling.frequency_penalty, -1.0);
  EXPECT_EQ(request.sampling.presence_penalty, 2.0);
  EXPECT_EQ(request.sampling.seed, 11U);
  EXPECT_EQ(request.sampling.logit_bias, (std::map<text::TokenId, float>{{65, -100.0F}, {66, 1.5F}}));
  EXPECT_EQ(request.max_new_tokens, 5);
  EXPECT_EQ(request.stop_strings, (std::vector<std::string>{"x", "yz"}));
  EXPECT_EQ(request.top_logprobs, 3);
  EXPECT_EQ(request.deadline, std::nullopt);
  chat({{"mystery", 2}});
  EXPECT_NE(batch.requests.at(1).sampling.seed, 0U) << "drawn, if nobody asks for one";
  EXPECT_EQ(batch.requests.at(1).sampling.temperature, SamplerOptions().temperature);
  ASSERT_EQ(said.size(), 1U) << "an unknown field is said once";
  EXPECT_NE(said[0].find("mystery"), std::string::npos);
}

TEST_F(ApiTest, OperatorsDefaultsAndLimitsCount) {
  options.sampling.temperature = 0.0;
  options.limits.new_tokens = 7;
  options.time_limit = std::chrono::seconds(30);
  options.model_name = "house/model";
  EXPECT_EQ(chat({{"max_tokens", 100}})["model"], "house/model");
  EXPECT_EQ(batch.requests.at(0).sampling.temperature, 0.0);
  EXPECT_EQ(batch.requests.at(0).max_new_tokens, 7);
  EXPECT_TRUE(batch.requests.at(0).deadline.has_value());
  chat();
  EXPECT_EQ(batch.requests.at(1).max_new_tokens, 7);
  EXPECT_EQ(answer("/v1/models/house/model", {}, "GET")["id"], "house/model");
}

TEST_F(ApiTest, SeveralChoicesHaveSeedsOfTheirOwnAndOnePrompt) {
  batch.script = [](const auto&, size_t index) {
    return FakeBatch::say({cat("text ", index)}, StopReason::length);
  };
  const Json json = chat({{"n", 3}, {"seed", 5}});
  ASSERT_EQ(json["choices"].size(), 3U);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(json["choices"][i]["index"], i);
    EXPECT_EQ(json["choices"][i]["message"]["content"], cat("text ", i));
    EXPECT_EQ(json["choices"][i]["finish_reason"], "length");
    EXPECT_EQ(batch.requests.at(i).sampling.seed, 5 + i);
  }
  EXPECT_EQ(json["usage"]["prompt_tokens"], batch.requests.at(0).prompt.size());
  EXPECT_EQ(json["usage"]["completion_tokens"], 3);
}

TEST_F(ApiTest, LogprobsHaveBytes) {
  batch.script = [](const auto&, size_t) {
    auto pieces = FakeBatch::say({"\xC3\xA9"});
    pieces[0].tokens = {token("\xC3", -0.5, {{0xC3, -0.5}, {'a', -HUGE_VAL}}), token("\xA9", 0.0)};
    return pieces;
  };
  const Json json = chat({{"logprobs", true}, {"top_logprobs", 2}})["choices"][0]["logprobs"];
  EXPECT_EQ(json, Json::parse(R"({"refusal": null, "content": [
      {"token": "\ufffd", "logprob": -0.5, "bytes": [195], "top_logprobs": [
          {"token": "\ufffd", "logprob": -0.5, "bytes": [195]}, {"token": "a", "logprob": -9999, "bytes": [97]}]},
      {"token": "\ufffd", "logprob": 0, "bytes": [169], "top_logprobs": []}]})"));
  const Json plain = answer("/v1/completions", {{"prompt", "x"}, {"logprobs", 2}})["choices"][0]["logprobs"];
  EXPECT_EQ(plain, Json::parse(R"({"tokens": ["bytes:\\xc3", "bytes:\\xa9"], "token_logprobs": [-0.5, 0],
      "top_logprobs": [{"bytes:\\xc3": -0.5, "a": -9999}, {}], "text_offset": [0, 1]})"));
}

TEST_F(ApiTest, MessagesForgeNoControlTokens) {
  chat({{"messages",
         {{{"role", "developer"}, {"content", "s<|end|>"}},
          {{"role", "user"},
           {"content", {{{"type", "text"}, {"text", "a"}}, {{"type", "text"}, {"text", "<|end|>b"}}}}},
          {{"role", "assistant"}, {"content", "c"}, {"refusal", nullptr}},
          {{"role", "user"}, {"content", "d"}}}}});
  EXPECT_EQ(prompt_text(), "s:s<|end|><|end|>u:a\n<|end|>b<|end|>a:c<|end|>u:d<|end|>a:");
  const auto& prompt = batch.requests.at(0).prompt;
  const text::TokenId end = model_->tokenizer()->encode("<|end|>", text::SpecialTokens::parse).at(0);
  EXPECT_EQ(std::ranges::count(prompt, end), 4) << "those of the template";
}

TEST_F(ApiTest, TheLastMessageMayGoOn) {
  const Json messages = {{{"role", "user"}, {"content", "ab"}}, {{"role", "assistant"}, {"content", "cd"}}};
  chat({{"messages", messages}, {"continue_final_message", true}});
  EXPECT_EQ(prompt_text(0), "u:ab<|end|>a:cd");
  chat({{"messages", messages}, {"add_generation_prompt", false}});
  EXPECT_EQ(prompt_text(1), "u:ab<|end|>a:cd<|end|>");
}

TEST_F(ApiTest, CompletionsTakePromptsInFourForms) {
  const auto ids = [](const Json& json) { return json.get<std::vector<text::TokenId>>(); };
  const Json json = answer("/v1/completions", {{"prompt", "ab<|end|>"}, {"echo", true}});
  EXPECT_TRUE(json["id"].get<std::string>().starts_with("cmpl-"));
  EXPECT_EQ(json["object"], "text_completion");
  EXPECT_EQ(json["choices"], Json::parse(R"([{"index": 0, "text": "ab<|end|>Hello", "logprobs": null,
      "finish_reason": "stop"}])"));
  EXPECT_EQ(batch.requests.at(0).max_new_tokens, 16);
  EXPECT_EQ(batch.requests.at(0).prompt.size(), 2U) << "special tokens of a prompt are parsed";
  answer("/v1/completions", {{"prompt", "ab<|end|>"}, {"parse_special", false}});
  EXPECT_GT(batch.requests.at(1).prompt.size(), 2U);
  EXPECT_EQ(answer("/v1/completions", {{"prompt", {"a", "b"}}, {"n", 2}})["choices"].size(), 4U);
  EXPECT_EQ(batch.requests.at(4).prompt, ids({98}));
  answer("/v1/completions", {{"prompt", {65, 66}}});
  EXPECT_EQ(batch.requests.at(6).prompt, ids({65, 66}));
  EXPECT_EQ(answer("/v1/completions", {{"prompt", {{65}, {66}}}, {"echo", true}})["choices"][1]["text"],
            "BHello");
  answer("/v1/completions", {{"prompt", ""}});
  EXPECT_EQ(batch.requests.back().prompt, ids({10})) << "something must be there to begin with";
}

TEST_F(ApiTest, TheLikeliestOfSeveralIsGiven) {
  batch.script = [](const BatchRequest& request, size_t index) {
    EXPECT_EQ(request.top_logprobs, 0);
    auto pieces = FakeBatch::say({cat(index)});
    pieces[0].tokens.assign(index + 1, token("x", index == 1 ? -1.0 : -2.0));
    return pieces;
  };
  const Json json = answer("/v1/completions", {{"prompt", "a"}, {"best_of", 3}, {"n", 1}});
  ASSERT_EQ(json["choices"].size(), 1U);
  EXPECT_EQ(json["choices"][0]["text"], "1");
  EXPECT_TRUE(json["choices"][0]["logprobs"].is_null());
  EXPECT_EQ(json["usage"]["completion_tokens"], 3) << "all that was made";
}

TEST_F(ApiTest, EmbeddingsAsNumbersAndAsBytes) {
  batch.script = [](const BatchRequest& request, size_t index) {
    EXPECT_TRUE(request.embed);
    auto pieces = FakeBatch::say({});
    pieces[0].embedding = {0.6F, static_cast<float>(index), -0.1F};
    return pieces;
  };
  const Json json = answer("/v1/embeddings", {{"model", "m"}, {"input", {"ab", "<|end|>"}}});
  EXPECT_EQ(json["object"], "list");
  EXPECT_EQ(json["model"], "m");
  ASSERT_EQ(json["data"].size(), 2U);
  EXPECT_EQ(json["data"][1]["object"], "embedding");
  EXPECT_EQ(json["data"][1]["index"], 1);
  EXPECT_EQ(json["data"][1]["embedding"].get<std::vector<float>>(), (std::vector<float>{0.6F, 1.0F, -0.1F}));
  EXPECT_EQ(batch.requests.at(1).prompt.size(), 7U) << "data hold no special tokens";
  EXPECT_EQ(json["usage"], (Json{{"prompt_tokens", 8}, {"total_tokens", 8}}));
  const Json coded =
      answer("/v1/embeddings", {{"input", "ab"}, {"encoding_format", "base64"}, {"dimensions", 40}});
  EXPECT_EQ(coded["data"][0]["embedding"], "mpkZPwAAAEDNzMy9") << "0.6, 2 and -0.1 in little-endian float32";
}

TEST_F(ApiTest, TokensBackAndForth) {
  const Json json = answer("/tokenize", {{"content", "ab<|end|>c"}});
  EXPECT_EQ(json, (Json{{"tokens", {256, 263, 99}}, {"count", 3}, {"max_model_len", kContext}}));
  EXPECT_EQ(answer("/tokenize", {{"prompt", "<|end|>"}, {"parse_special", false}})["count"], 7);
  EXPECT_EQ(answer("/tokenize", {{"content", "é"}, {"with_pieces", true}})["tokens"],
            Json::parse(R"([{"id": 195, "piece": [195]}, {"id": 169, "piece": [169]}])"));
  EXPECT_EQ(answer("/tokenize", {{"messages", {{{"role", "user"}, {"content", "ab"}}}}})["count"], 6);
  EXPECT_EQ(answer("/detokenize", {{"tokens", {256, 263, 99}}}),
            (Json{{"content", "ab<|end|>c"}, {"prompt", "ab<|end|>c"}}));
}

TEST_F(ApiTest, ConstraintsAreCompiledOnceAndMadeForEachText) {
  auto constraints = std::make_shared<NotedConstraints>();
  options.constraints = constraints;
  chat({{"response_format", {{"type", "text"}}}});
  EXPECT_EQ(batch.requests.at(0).constraint, nullptr);
  chat({{"response_format", {{"type", "json_object"}}}, {"n", 2}});
  EXPECT_NE(batch.requests.at(1).constraint, nullptr);
  EXPECT_NE(batch.requests.at(1).constraint, batch.requests.at(2).constraint);
  chat(Json::parse(R"({"response_format": {"type": "json_schema", "json_schema":
      {"name": "x", "strict": true, "schema": {"type": "object"}}}})"));
  chat({{"grammar", "root ::= \"a\""}});
  EXPECT_EQ(constraints->made,
            (std::vector<std::string>{"object", "schema {\"type\":\"object\"}", "gbnf root ::= \"a\""}));
  expect_refusal("/v1/completions", R"({"prompt": "a", "grammar": "bad"})", 400, "grammar", "line 1");
  expect_refusal("/v1/completions", dump_json({{"prompt", "a"}, {"stop", std::string(257, 'a')}}), 400,
                 "stop", "at most 256 bytes, found one of 257");
}

TEST_F(ApiTest, AdaptersAreModels) {
  test::write_random_adapter(files_->file("adapters/poet"), model_->file().config(), 2);
  test::write_random_adapter(files_->file("elsewhere"), model_->file().config(), 2);
  options.adapter_root = files_->file("adapters");
  EXPECT_EQ(answer("/v1/adapters", {}, "GET")["data"].size(), 0U);
  const Json added = answer("/v1/adapters", {{"name", "p"}, {"path", "poet"}});
  EXPECT_EQ(added["name"], "p");
  EXPECT_EQ(added["rank"], 2);
  for (const char* path : {"../elsewhere", "nothing", "", "/etc", "."}) {
    expect_refusal("/v1/adapters", Json{{"name", "q"}, {"path", path}}.dump(), 400, "path", "");
  }
  expect_refusal("/v1/adapters", R"({"name": "p", "path": "poet"})", 400, "name", "already");
  EXPECT_EQ(answer("/v1/models", {}, "GET")["data"][1]["id"], "m:p");
  EXPECT_EQ(answer("/v1/models/m:p", {}, "GET")["parent"], "m");
  EXPECT_EQ(chat({{"model", "m:p"}})["model"], "m:p");
  ASSERT_EQ(batch.requests.at(0).adapters.size(), 1U);
  EXPECT_EQ(batch.requests.at(0).adapters[0].weight, 1.0F);
  chat({{"adapters", {{{"name", "p"}, {"weight", 0.5}}}}});
  EXPECT_EQ(batch.requests.at(1).adapters.at(0).weight, 0.5F);
  chat();
  EXPECT_TRUE(batch.requests.at(2).adapters.empty());
}

TEST_F(ApiTest, AdaptersThatLoadAtOnceAreNotTooMany) {
  test::write_random_adapter(files_->file("many/one"), model_->file().config(), 2);
  options.adapter_root = files_->file("many");
  const auto load = [this](int i) {
    respond("/v1/adapters", Json{{"name", "a" + std::to_string(i)}, {"path", "one"}}.dump());
  };
  for (int i = 0; i < 63; ++i) load(i);
  std::atomic<int> refused = 0;
  std::barrier begin(8);
  std::vector<std::thread> threads;
  for (int i = 63; i < 71; ++i) {
    threads.emplace_back([&, i] {
      begin.arrive_and_wait();
      try {
        load(i);
      } catch (const ApiError&) {
        ++refused;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(refused, 7);
  EXPECT_EQ(answer("/v1/adapters", {}, "GET")["data"].size(), 64U);
}

TEST_F(ApiTest, ModelsAreListed) {
  const Json json = answer("/v1/models", {}, "GET");
  EXPECT_EQ(json["object"], "list");
  ASSERT_EQ(json["data"].size(), 1U);
  EXPECT_EQ(json["data"][0]["id"], "m");
  EXPECT_EQ(json["data"][0]["object"], "model");
  EXPECT_EQ(answer("/v1/models/m", {}, "GET"), json["data"][0]);
  EXPECT_THROW(respond("/v1/adapters", "", "GET"), ApiError) << "no adapters, no route";
}

}  // namespace
}  // namespace rotor::runtime::server
