// Streams chunk by chunk, calls of tools, and clients that hang up.
#include "tests/server/api_fixture.h"

namespace rotor::runtime::server {
namespace {

using test::ApiTest;
using test::FakeBatch;
using test::NotedConstraints;

Json tools() {
  return Json::parse(R"([{"type": "function", "function": {"name": "add", "description": "sums",
      "parameters": {"type": "object", "properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "integer"}}}}},
      {"type": "function", "function": {"name": "now"}}])");
}

Json question() {
  return {{"messages", {{{"role", "user"}, {"content", "q"}}}}};
}

Json with_tools(const Json& more = Json::object()) {
  Json body = question();
  body["tools"] = tools();
  body.update(more);
  return body;
}

TEST_F(ApiTest, AChatStreamsInChunks) {
  Json body = question();
  body["stream_options"] = {{"include_usage", true}};
  const Stream got = stream(kChat, body);
  ASSERT_EQ(got.chunks.size(), 5U);
  for (const Json& chunk : got.chunks) {
    EXPECT_EQ(chunk["id"], got.chunks[0]["id"]);
    EXPECT_EQ(chunk["object"], "chat.completion.chunk");
    EXPECT_EQ(chunk["model"], "m");
    EXPECT_TRUE(chunk.contains("system_fingerprint") && chunk.contains("created"));
  }
  const auto choice = [&](size_t i) { return got.chunks[i]["choices"][0]; };
  EXPECT_EQ(choice(0),
            Json::parse(R"({"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": null,
                                        "finish_reason": null})"));
  EXPECT_EQ(choice(1)["delta"], (Json{{"content", "Hel"}}));
  EXPECT_EQ(choice(2)["delta"], (Json{{"content", "lo"}}));
  EXPECT_EQ(choice(3)["delta"], Json::object());
  EXPECT_EQ(choice(3)["finish_reason"], "stop");
  EXPECT_TRUE(got.chunks[3]["usage"].is_null());
  EXPECT_EQ(got.chunks[4]["choices"], Json::array());
  EXPECT_EQ(got.chunks[4]["usage"]["completion_tokens"], 2);
  EXPECT_TRUE(got.done);
  EXPECT_EQ(got.writes.size(), 4U) << "what came together goes out together, and nothing else";
  const Stream plain = stream(kChat, question());
  EXPECT_FALSE(plain.chunks.back().contains("usage"));
}

TEST_F(ApiTest, TextOfEveryKindArrivesAsItIs) {
  std::string text = "\"\\/\b\f\n\r\t\x01\x1f\x7f é \u2028 \U0001F600 </script>";
  batch.script = [&](const auto&, size_t) { return FakeBatch::say({text, ""}); };
  const Stream got = stream(kChat, question());
  EXPECT_EQ(got.chunks.at(1)["choices"][0]["delta"]["content"], text);
  EXPECT_EQ(chat()["choices"][0]["message"]["content"], text);
}

TEST_F(ApiTest, CompletionsStreamTheirPromptFirst) {
  batch.script = [](const auto&, size_t) { return FakeBatch::say({"x", "y"}, StopReason::context); };
  const Stream got = stream("/v1/completions", {{"prompt", {"a", "b"}}, {"echo", true}});
  std::map<int, std::string> texts;
  std::map<int, Json> reasons;
  for (const Json& chunk : got.chunks) {
    EXPECT_EQ(chunk["object"], "text_completion");
    const Json& choice = chunk["choices"][0];
    texts[choice["index"].get<int>()] += choice["text"].get<std::string>();
    reasons[choice["index"].get<int>()] = choice["finish_reason"];
  }
  EXPECT_EQ(texts, (std::map<int, std::string>{{0, "axy"}, {1, "bxy"}}));
  EXPECT_EQ(reasons[1], "length");
  EXPECT_TRUE(got.done);
}

TEST_F(ApiTest, AClientThatIsGoneCancels) {
  Json body = question();
  body["n"] = 2;
  const Stream got = stream(kChat, body, 1);
  EXPECT_EQ(got.writes.size(), 1U);
  EXPECT_FALSE(got.done);
  EXPECT_EQ(batch.cancelled, 2);
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[0].outcome, Outcome::cancelled);
  EXPECT_TRUE(records[0].streamed);
  gone = true;
  EXPECT_EQ(respond(kChat, question().dump()).status, 499);
  EXPECT_EQ(batch.cancelled, 3);
}

TEST_F(ApiTest, AStreamThatNobodyReadsCancels) {
  Json body = question();
  body["stream"] = true;
  static_cast<void>(respond(kChat, body.dump()));
  EXPECT_EQ(batch.cancelled, 1);
}

TEST_F(ApiTest, WhatGoesWrongInAStreamIsItsLastEvent) {
  batch.script = [](const auto&, size_t) {
    auto pieces = FakeBatch::say({"Hel"});
    pieces.back().error = "the device is lost";
    return pieces;
  };
  const Stream got = stream(kChat, question());
  EXPECT_EQ(got.chunks.back()["error"]["message"], "the device is lost");
  EXPECT_EQ(got.chunks.back()["error"]["type"], "server_error");
  EXPECT_FALSE(got.done);
  EXPECT_EQ(records.at(0).outcome, Outcome::failed);
  expect_refusal(kChat, question().dump(), 500, "", "the device is lost");
}

TEST_F(ApiTest, WhenTheTimeIsOverWhatIsThereIsTheAnswer) {
  batch.script = [](const auto&, size_t) { return FakeBatch::say({"Hel"}, StopReason::time_limit); };
  const Json json = chat();
  EXPECT_EQ(json["choices"][0]["message"]["content"], "Hel");
  EXPECT_EQ(json["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(records.at(0).outcome, Outcome::deadline);
}

TEST_F(ApiTest, TextsWaitWhenTheBatchHoldsEnoughOfOneRequest) {
  options.limits.at_once = 2;
  size_t most = 0;
  batch.script = [&](const auto&, size_t index) {
    most = std::max(most, index + 1 - records.size());
    return FakeBatch::say({cat(index)});
  };
  const Json json = chat({{"n", 7}});
  EXPECT_EQ(json["choices"][6]["message"]["content"], "6");
  EXPECT_EQ(most, 2U);
}

TEST_F(ApiTest, ToolsAreDescribedAndCalled) {
  context = 1024;
  batch.script = [](const auto&, size_t) {
    return FakeBatch::say(
        {"Sure.\n<tool", "_call>{\"name\": \"add\", \"argu", "ments\": {\"a\": 1}}\n</tool_call>"});
  };
  const Json choice = answer(kChat, with_tools())["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_EQ(choice["message"]["content"], "Sure.");
  const Json& call = choice["message"]["tool_calls"].at(0);
  EXPECT_TRUE(call["id"].get<std::string>().starts_with("call_"));
  EXPECT_EQ(call["type"], "function");
  EXPECT_EQ(call["function"], (Json{{"name", "add"}, {"arguments", "{\"a\": 1}"}}));
  EXPECT_TRUE(prompt_text().starts_with("s:You can call functions."));
  EXPECT_NE(prompt_text().find("\"description\":\"sums\""), std::string::npos);

  const Stream got = stream(kChat, with_tools());
  std::string content;
  Json calls = Json::array();
  for (const Json& chunk : got.chunks) {
    const Json& delta = chunk["choices"][0]["delta"];
    content += delta.value("content", "");
    for (const Json& part : delta.value("tool_calls", Json::array())) calls.push_back(part);
  }
  EXPECT_EQ(content, "Sure.");
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[0]["function"], (Json{{"name", "add"}, {"arguments", ""}}));
  EXPECT_EQ(calls[1], (Json{{"index", 0}, {"function", {{"arguments", "{\"a\": 1}"}}}}));
  EXPECT_EQ(got.chunks.back()["choices"][0]["finish_reason"], "tool_calls");
}

TEST_F(ApiTest, WhatIsNoCallIsText) {
  context = 1024;
  const std::string bad = "<tool_call>{\"name\": \"add\", \"arguments\": {\"a\": oops}}</tool_call>";
  batch.script = [&](const auto&, size_t) { return FakeBatch::say({bad}); };
  const Json choice = answer(kChat, with_tools())["choices"][0];
  EXPECT_EQ(choice["message"]["content"], bad);
  EXPECT_FALSE(choice["message"].contains("tool_calls"));
  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_EQ(answer(kChat, with_tools({{"tool_choice", "none"}}))["choices"][0]["message"]["content"], bad);
  EXPECT_TRUE(prompt_text(1).starts_with("u:q"));
}

TEST_F(ApiTest, CallsAndTheirResultsGoBackToTheModel) {
  context = 1024;
  Json body = with_tools();
  body["messages"].push_back(Json::parse(R"({"role": "assistant", "content": null, "tool_calls": [
      {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{\"a\": \"<|end|>\"}"}}]})"));
  body["messages"].push_back({{"role", "tool"}, {"tool_call_id", "c1"}, {"content", "3"}});
  body["messages"].push_back({{"role", "tool"}, {"tool_call_id", "c2"}, {"content", "4"}});
  body["tool_choice"] = "none";
  answer(kChat, body);
  EXPECT_EQ(
      prompt_text(),
      "u:q<|end|>a:<tool_call>\n{\"name\":\"add\",\"arguments\":{\"a\":\"<|end|>\"}}\n</tool_call><|end|>"
      "u:<tool_response>\n3\n</tool_response>\n<tool_response>\n4\n</tool_response><|end|>a:");
}

TEST_F(ApiTest, ADemandedCallIsConstrained) {
  context = 1024;
  auto constraints = std::make_shared<NotedConstraints>();
  options.constraints = constraints;
  batch.script = [](const auto&, size_t) {
    return FakeBatch::say({"{\"name\": \"add\", \"arguments\": {\"a\": 1}}", "more"});
  };
  const Json named = {{"tool_choice", {{"type", "function"}, {"function", {{"name", "add"}}}}}};
  const Json choice = answer(kChat, with_tools(named))["choices"][0];
  EXPECT_EQ(choice["message"]["tool_calls"][0]["function"]["arguments"], "{\"a\": 1}");
  EXPECT_TRUE(choice["message"]["content"].is_null());
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_EQ(batch.cancelled, 1) << "nothing behind the call is wanted";
  EXPECT_TRUE(prompt_text().ends_with("a:<tool_call>\n"));
  const Json schema = Json::parse(constraints->made.at(0).substr(7));
  EXPECT_EQ(schema["properties"]["name"], (Json{{"const", "add"}}));
  EXPECT_EQ(schema["properties"]["arguments"]["properties"]["a"]["$ref"], "#/properties/arguments/$defs/n");
  answer(kChat, with_tools({{"tool_choice", "required"}}));
  const Json any = Json::parse(constraints->made.at(1).substr(7));
  EXPECT_EQ(any["anyOf"][0]["properties"]["arguments"]["properties"]["a"]["$ref"],
            "#/anyOf/0/properties/arguments/$defs/n");
  EXPECT_EQ(any["anyOf"][1]["properties"]["name"], (Json{{"const", "now"}}));
}

TEST(ToolStyle, IsWhatTheTemplateWrites) {
  const auto style = [](const std::string& calls) {
    return tool_style(text::ChatTemplate(
        "{% for t in tools or [] %}{{ t | tojson }}{% endfor %}{% for m in messages %}{{ m.content }}"
        "{% for c in m.tool_calls or [] %}" +
        calls + "{% endfor %}{% endfor %}"));
  };
  EXPECT_EQ(style("<tool_call>{{ c.function | tojson }}</tool_call>").format, ToolFormat::hermes);
  EXPECT_EQ(style(R"({"name": "{{ c.function.name }}", "parameters": {{ c.function.arguments | tojson }} })")
                .format,
            ToolFormat::llama);
  EXPECT_EQ(style("[TOOL_CALLS][{{ c.function | tojson }}]").format, ToolFormat::mistral);
  EXPECT_TRUE(style("").in_template);
  EXPECT_FALSE(tool_style(text::ChatTemplate(test::kChatTemplate)).in_template);
  EXPECT_FALSE(tool_style(text::ChatTemplate("{{ raise_exception('no') }}")).in_template);
}

}  // namespace
}  // namespace rotor::runtime::server
