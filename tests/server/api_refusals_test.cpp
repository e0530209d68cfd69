// Bad requests: the right status, the field that is wrong, and nothing in the batch.
#include "tests/server/api_fixture.h"

namespace rotor::runtime::server {
namespace {

using test::ApiTest;
using test::FakeBatch;

TEST_F(ApiTest, WhatIsNoJsonIsRefused) {
  const std::string deep = std::string(100, '[') + std::string(100, ']');
  for (const std::string& body :
       {std::string(""), std::string("{"), std::string("[]"), std::string("1"), std::string("{\"n\": NaN}"),
        std::string("{\"temperature\": Infinity}"), std::string("{\"temperature\": 1e999}"),
        std::string("{\"n\": 1, \"n\": 2}"), std::string("{\"a\": \"\xff\"}"),
        std::string("{\"a\": \"\\ud800\"}"), "{\"messages\": " + deep + "}", std::string("{} x"),
        std::string(1, '\0')}) {
    for (const char* path : {kChat, "/v1/completions", "/v1/embeddings", "/tokenize", "/detokenize"}) {
      expect_refusal(path, body, 400, "", "request");
    }
  }
  EXPECT_TRUE(batch.requests.empty());
}

struct Refusal {
  std::string field;  // "NAME": VALUE
  std::string param;
  std::string message = "expected";
};

class ChatRefusals : public ApiTest, public ::testing::WithParamInterface<Refusal> {};

TEST_P(ChatRefusals, NamesTheField) {
  const Refusal& refusal = GetParam();
  const bool has_messages = refusal.field.find("\"messages\"") != std::string::npos;
  const std::string messages = has_messages ? "" : R"("messages": [{"role": "user", "content": "a"}], )";
  expect_refusal(kChat, "{" + messages + refusal.field + "}", 400, refusal.param, refusal.message);
  EXPECT_TRUE(batch.requests.empty());
}

INSTANTIATE_TEST_SUITE_P(
    Numbers, ChatRefusals,
    ::testing::Values(
        Refusal{R"("temperature": "1")", "temperature", "found \"1\""},
        Refusal{R"("temperature": -0.1)", "temperature"}, Refusal{R"("temperature": 2.1)", "temperature"},
        Refusal{R"("temperature": true)", "temperature"}, Refusal{R"("top_p": 1.01)", "top_p"},
        Refusal{R"("top_k": -2)", "top_k"}, Refusal{R"("top_k": 1.5)", "top_k"},
        Refusal{R"("min_p": -1)", "min_p"}, Refusal{R"("typical_p": [])", "typical_p"},
        Refusal{R"("repeat_penalty": 0)", "repeat_penalty"},
        Refusal{R"("repeat_last_n": -2)", "repeat_last_n"},
        Refusal{R"("frequency_penalty": 2.5)", "frequency_penalty"},
        Refusal{R"("presence_penalty": {})", "presence_penalty"}, Refusal{R"("n": 0)", "n", "1 to 16"},
        Refusal{R"("n": -1)", "n"}, Refusal{R"("n": 1000000)", "n"}, Refusal{R"("n": 1.0)", "n"},
        Refusal{R"("n": 18446744073709551615)", "n"}, Refusal{R"("n": 99999999999999999999999)", "n"},
        Refusal{R"("max_tokens": 0)", "max_tokens"}, Refusal{R"("max_tokens": -1)", "max_tokens"},
        Refusal{R"("max_completion_tokens": "9")", "max_completion_tokens"},
        Refusal{R"("seed": 1.5)", "seed"}, Refusal{R"("seed": "x")", "seed"},
        Refusal{R"("logit_bias": [])", "logit_bias"},
        Refusal{R"("logit_bias": {"x": 1})", "logit_bias", "0 to 263"},
        Refusal{R"("logit_bias": {"264": 1})", "logit_bias"},
        Refusal{R"("logit_bias": {"-1": 1})", "logit_bias"},
        Refusal{R"("logit_bias": {"1": 101})", "logit_bias.1"}, Refusal{R"("logprobs": 1)", "logprobs"},
        Refusal{R"("logprobs": true, "top_logprobs": 21)", "top_logprobs"},
        Refusal{R"("top_logprobs": 2)", "top_logprobs", "needs"}));

INSTANTIATE_TEST_SUITE_P(
    Texts, ChatRefusals,
    ::testing::Values(
        Refusal{R"("stop": 1)", "stop"}, Refusal{R"("stop": "")", "stop"},
        Refusal{R"("stop": ["a", 2])", "stop"},
        Refusal{R"("stop": ["a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a"])", "stop",
                "found 17"},
        Refusal{R"("stream": "yes")", "stream"},
        Refusal{R"("stream_options": {})", "stream_options", "streams only"},
        Refusal{R"("stream": true, "stream_options": {"include_usage": 1})", "stream_options.include_usage"},
        Refusal{R"("model": 5)", "model"}, Refusal{R"("response_format": "json")", "response_format"},
        Refusal{R"("response_format": {"type": "xml"})", "response_format.type"},
        Refusal{R"("response_format": {"type": "json_schema"})", "response_format.json_schema"},
        Refusal{R"("response_format": {"type": "json_schema", "json_schema": {"name": "x"}})",
                "response_format.json_schema.schema"},
        Refusal{R"("response_format": {"type": "json_object"})", "response_format", "cannot constrain"},
        Refusal{R"("grammar": "x", "response_format": {"type": "json_object"})", "grammar", "either"},
        Refusal{R"("grammar": "x", "ignore_eos": true)", "ignore_eos", "cannot be"},
        Refusal{R"("chat_template_kwargs": 1)", "chat_template_kwargs"},
        Refusal{R"("functions": [])", "functions", "tools"},
        Refusal{R"("modalities": ["audio"])", "modalities"},
        Refusal{R"("adapters": [{"name": "x"}])", "adapters[0].name", "no adapter"},
        Refusal{R"("adapters": [{"weight": 1}])", "adapters[0].name"},
        Refusal{R"("continue_final_message": true)", "continue_final_message", "assistant"}));

INSTANTIATE_TEST_SUITE_P(
    Messages, ChatRefusals,
    ::testing::Values(
        Refusal{R"("messages": null)", "messages"}, Refusal{R"("messages": [])", "messages", "at least one"},
        Refusal{R"("messages": "hi")", "messages"}, Refusal{R"("messages": ["hi"])", "messages[0]"},
        Refusal{R"("messages": [{"content": "a"}])", "messages[0].role"},
        Refusal{R"("messages": [{"role": "god", "content": "a"}])", "messages[0].role", "found \"god\""},
        Refusal{R"("messages": [{"role": "user"}])", "messages[0].content"},
        Refusal{R"("messages": [{"role": "user", "content": null}])", "messages[0].content"},
        Refusal{R"("messages": [{"role": "user", "content": 1}])", "messages[0].content"},
        Refusal{R"("messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}])",
                "messages[0].content[0].type"},
        Refusal{R"("messages": [{"role": "user", "content": [{"type": "text"}]}])",
                "messages[0].content[0].text"},
        Refusal{R"("messages": [{"role": "assistant", "tool_calls": [{}]}])",
                "messages[0].tool_calls[0].function"},
        Refusal{R"("messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "a"}}]}])",
                "messages[0].tool_calls[0].function.arguments"}));

INSTANTIATE_TEST_SUITE_P(
    Tools, ChatRefusals,
    ::testing::Values(
        Refusal{R"("tools": {})", "tools"}, Refusal{R"("tools": [{}])", "tools[0].type"},
        Refusal{R"("tools": [{"type": "web"}])", "tools[0].type"},
        Refusal{R"("tools": [{"type": "function"}])", "tools[0].function"},
        Refusal{R"("tools": [{"type": "function", "function": {"name": "a b"}}])", "tools[0].function.name"},
        Refusal{R"("tools": [{"type": "function", "function": {"name": "a", "parameters": 1}}])",
                "tools[0].function.parameters"},
        Refusal{
            R"("tools": [{"type": "function", "function": {"name": "a"}}, {"type": "function", "function": {"name": "a"}}])",
            "tools[1].function.name", "two tools"},
        Refusal{R"("tool_choice": "required")", "tool_choice", "tools to choose from"},
        Refusal{R"("tool_choice": "some")", "tool_choice"}, Refusal{R"("tool_choice": 1)", "tool_choice"},
        Refusal{
            R"("tools": [{"type": "function", "function": {"name": "a"}}], "tool_choice": {"type": "function", "function": {"name": "b"}})",
            "tool_choice.function.name", "found \"b\""},
        Refusal{R"("tools": [{"type": "function", "function": {"name": "a"}}], "grammar": "x")", "grammar",
                "tool_choice"}));

TEST_F(ApiTest, BadCompletionsAndEmbeddingsAreRefused) {
  const char* path = "/v1/completions";
  expect_refusal(path, R"({})", 400, "prompt", "expected");
  expect_refusal(path, R"({"prompt": []})", 400, "prompt", "at least one");
  expect_refusal(path, R"({"prompt": [1, "a"]})", 400, "prompt[1]", "token id");
  expect_refusal(path, R"({"prompt": ["a", 1]})", 400, "prompt[1]", "a text");
  expect_refusal(path, R"({"prompt": [-1]})", 400, "prompt[0]", "0 to 263");
  expect_refusal(path, R"({"prompt": [[264]]})", 400, "prompt[0][0]", "0 to 263");
  expect_refusal(path, R"({"prompt": [[]]})", 400, "prompt", "at least one token");
  expect_refusal(path, R"({"prompt": "a", "suffix": "b"})", 400, "suffix", "not supported");
  expect_refusal(path, R"({"prompt": "a", "echo": true, "logprobs": 1})", 400, "echo", "not computed");
  expect_refusal(path, R"({"prompt": "a", "logprobs": -1})", 400, "logprobs", "0 to 20");
  expect_refusal(path, R"({"prompt": "a", "best_of": 2, "n": 3})", 400, "best_of", "at least n");
  expect_refusal(path, R"({"prompt": "a", "best_of": 2, "stream": true})", 400, "best_of", "stream");
  expect_refusal(path, Json{{"prompt", std::vector<std::string>(5, "a")}, {"n", 16}}.dump(), 400, "prompt",
                 "at most 4");
  path = "/v1/embeddings";
  expect_refusal(path, R"({})", 400, "input", "expected");
  expect_refusal(path, R"({"input": ""})", 400, "input", "not empty");
  expect_refusal(path, R"({"input": "a", "encoding_format": "hex"})", 400, "encoding_format", "base64");
  expect_refusal(path, R"({"input": "a", "dimensions": 8})", 400, "dimensions", "expected 40");
  expect_refusal(path, Json{{"input", std::vector<std::string>(257, "a")}}.dump(), 400, "input",
                 "at most 256");
  expect_refusal("/tokenize", R"({})", 400, "content", "found none");
  expect_refusal("/tokenize", R"({"content": "a", "prompt": "b"})", 400, "content", "two of them");
  expect_refusal("/detokenize", R"({"tokens": "a"})", 400, "tokens", "token ids");
  EXPECT_TRUE(batch.requests.empty());
}

TEST_F(ApiTest, PromptsThatDoNotFitNameBothNumbers) {
  const std::string text(64, '!');
  try {
    respond("/v1/completions", Json{{"prompt", text}}.dump());
    FAIL() << "expected a refusal";
  } catch (const ApiError& e) {
    EXPECT_EQ(e.status, 400);
    EXPECT_EQ(e.code, "context_length_exceeded");
    EXPECT_EQ(std::string(e.what()),
              "This model's maximum context length is 64 tokens. However, your prompt has 64 tokens: please "
              "shorten "
              "it.");
  }
  answer("/v1/completions", {{"prompt", text.substr(1)}});
  expect_refusal(kChat, Json{{"messages", {{{"role", "user"}, {"content", text}}}}}.dump(), 400, "messages",
                 "64");
  expect_refusal("/v1/embeddings", Json{{"input", text + "!"}}.dump(), 400, "input", "65");
}

TEST_F(ApiTest, OtherModelsAreNotFound) {
  const std::string body = R"({"model": "gpt-5", "messages": [{"role": "user", "content": "a"}]})";
  expect_refusal(kChat, body, 404, "model", "\"gpt-5\" does not exist");
  expect_refusal(kChat, R"({"model": "m:poet", "messages": []})", 404, "model", "does not exist");
  EXPECT_THROW(respond("/v1/models/gpt-5", "", "GET"), ApiError);
}

TEST_F(ApiTest, WhatTheTemplateRefusesIsTheClientsToMend) {
  options.chat_template = text::ChatTemplate("{{ raise_exception('roles must alternate') }}");
  expect_refusal(kChat, R"({"messages": [{"role": "user", "content": "a"}]})", 400, "messages",
                 "roles must alternate");
}

TEST_F(ApiTest, AFullBatchSaysWhenToComeBack) {
  bool stopping = false;
  batch.script = [&](const auto&, size_t) -> FakeBatch::Pieces {
    Overloaded full("the queue is full");
    full.retry_after_seconds = 7;
    full.stopping = stopping;
    throw full;
  };
  const std::string body = R"({"stream": true, "messages": [{"role": "user", "content": "a"}]})";
  for (const int status : {429, 503}) {
    stopping = status == 503;
    try {
      respond(kChat, body);
      FAIL() << "expected a refusal";
    } catch (const ApiError& e) {
      EXPECT_EQ(e.status, status);
      EXPECT_EQ(e.retry_after_seconds, 7);
    }
  }
  EXPECT_TRUE(records.empty());
}

TEST_F(ApiTest, WhatTheBatchRefusesIsTheClientsToMend) {
  batch.script = [](const auto&, size_t) -> FakeBatch::Pieces { fail("top_p: expected 0 to 1"); };
  expect_refusal(kChat, R"({"messages": [{"role": "user", "content": "a"}]})", 400, "", "top_p");
}

}  // namespace
}  // namespace rotor::runtime::server
