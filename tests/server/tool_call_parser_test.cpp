// Calls are found wherever the pieces of a stream begin and end, and what is no call stays text.
#include "runtime/server/api/tool_call_parser.h"

#include <gtest/gtest.h>

#include <map>
#include <regex>

#include "rotor/formats/json.h"
#include "tests/support/random.h"
#include "tests/support/rounds.h"

namespace rotor::runtime::server {
namespace {

using Kind = ToolDelta::Kind;

/// What a client ends up with.
struct Heard {
  std::string content;
  std::map<size_t, std::pair<std::string, std::string>> calls;

  void add(const std::vector<ToolDelta>& deltas) {
    for (const ToolDelta& delta : deltas) {
      EXPECT_FALSE(delta.text.empty());
      if (delta.kind == Kind::content) content += delta.text;
      if (delta.kind == Kind::call) {
        EXPECT_TRUE(calls.emplace(delta.index, std::pair(delta.text, "")).second) << "a name comes once";
      }
      if (delta.kind == Kind::arguments) calls.at(delta.index).second += delta.text;
      // How much was known of a call before it broke depends on the pieces; what is left of it does not.
      if (delta.kind == Kind::broken) {
        EXPECT_EQ(calls.erase(delta.index), 1U);
        content += delta.text;
      }
    }
  }
  bool operator==(const Heard&) const = default;
};

Heard hear(ToolFormat format, std::string_view text, size_t piece) {
  ToolCallParser parser(format, {"get_time", "add"});
  Heard heard;
  for (size_t i = 0; i < text.size(); i += piece) heard.add(parser.push(text.substr(i, piece)));
  heard.add(parser.finish());
  return heard;
}

/// The same with pieces of every size and with a cut at every byte.
Heard hear_in_pieces(ToolFormat format, const std::string& text) {
  Heard whole = hear(format, text, std::max<size_t>(text.size(), 1));
  for (size_t piece = 1; piece < text.size(); ++piece) EXPECT_EQ(hear(format, text, piece), whole) << piece;
  for (size_t cut = 0; cut < text.size(); ++cut) {
    ToolCallParser parser(format, {"get_time", "add"});
    Heard heard;
    heard.add(parser.push(text.substr(0, cut)));
    heard.add(parser.push(text.substr(cut)));
    heard.add(parser.finish());
    EXPECT_EQ(heard, whole) << cut;
  }
  return whole;
}

struct Case {
  ToolFormat format;
  std::string text;
  std::string content;
  std::map<size_t, std::pair<std::string, std::string>> calls;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.text;
}

class ToolCallTest : public ::testing::TestWithParam<Case> {};

TEST_P(ToolCallTest, IsHeardInWhateverPieces) {
  const Case& c = GetParam();
  const Heard heard = hear_in_pieces(c.format, c.text);
  EXPECT_EQ(heard.content, c.content);
  EXPECT_EQ(heard.calls, c.calls);
}

const std::string kCall = R"(<tool_call>
{"name": "add", "arguments": {"a": 1, "b": [2, "}</tool_call>"]}}
</tool_call>)";
const std::string kArguments = R"({"a": 1, "b": [2, "}</tool_call>"]})";

INSTANTIATE_TEST_SUITE_P(
    Hermes, ToolCallTest,
    ::testing::Values(
        Case{ToolFormat::hermes, kCall, "", {{0, {"add", kArguments}}}},
        Case{ToolFormat::hermes, "Let me see.\n\n" + kCall, "Let me see.", {{0, {"add", kArguments}}}},
        Case{ToolFormat::hermes,
             kCall + "\n" + R"(<tool_call>{"arguments":{"tz":"é"} , "name":"get_time"}</tool_call>)" + " \n",
             "",
             {{0, {"add", kArguments}}, {1, {"get_time", R"({"tz":"é"})"}}}},
        Case{ToolFormat::hermes,
             R"(<tool_call>{"name":"add","arguments":"{\"a\":1}"}</tool_call>)",
             "",
             {{0, {"add", R"({"a":1})"}}}},
        Case{ToolFormat::hermes,
             R"(<tool_call>{"name":"get_time"}</tool_call>)",
             "",
             {{0, {"get_time", "{}"}}}},
        Case{ToolFormat::hermes,
             R"(<tool_call>{"name":"get_time","arguments":null}</tool_call>)",
             "",
             {{0, {"get_time", "{}"}}}},
        Case{ToolFormat::hermes,
             R"(<tool_call>{"name":"add","arguments":{}}
{"name":"get_time","arguments":{}}</tool_call>)",
             "",
             {{0, {"add", "{}"}}, {1, {"get_time", "{}"}}}},
        Case{ToolFormat::hermes, kCall + " done", " done", {{0, {"add", kArguments}}}},
        Case{ToolFormat::hermes, "a < b <tool <tool_cal> \n", "a < b <tool <tool_cal> \n", {}},
        Case{ToolFormat::hermes, "so: <tool_call>none</tool_call>", "so: <tool_call>none</tool_call>", {}},
        Case{ToolFormat::hermes,
             R"(<tool_call>{"name":"rm","arguments":{}}</tool_call>)",
             R"(<tool_call>{"name":"rm","arguments":{}}</tool_call>)",
             {}},
        Case{ToolFormat::hermes,
             R"(<tool_call>{"name":"add","arguments":[1]}</tool_call>!)",
             R"(<tool_call>{"name":"add","arguments":[1]}</tool_call>!)",
             {}},
        Case{ToolFormat::hermes,
             R"(<tool_call>{"name":"add","arguments":{"a":tru!}}</tool_call>)",
             R"(<tool_call>{"name":"add","arguments":{"a":tru!}}</tool_call>)",
             {}},
        Case{ToolFormat::hermes,
             R"(<tool_call>{"name":"add","arguments":{"a":1)",
             R"(<tool_call>{"name":"add","arguments":{"a":1)",
             {}},
        Case{ToolFormat::hermes, "<tool_call>", "<tool_call>", {}}, Case{ToolFormat::hermes, "", "", {}}));

INSTANTIATE_TEST_SUITE_P(
    Llama, ToolCallTest,
    ::testing::Values(
        Case{ToolFormat::llama,
             R"({"name": "add", "parameters": {"a": 1}})",
             "",
             {{0, {"add", R"({"a": 1})"}}}},
        Case{ToolFormat::llama,
             " <|python_tag|>{\"type\": \"function\", \"name\": \"add\", \"parameters\": {}}",
             "",
             {{0, {"add", "{}"}}}},
        Case{ToolFormat::llama,
             R"({"name":"add","parameters":{}}; {"name":"get_time","parameters":{}})",
             "",
             {{0, {"add", "{}"}}, {1, {"get_time", "{}"}}}},
        Case{ToolFormat::llama, R"({"answer": {"name": "add"}})", R"({"answer": {"name": "add"}})", {}},
        Case{ToolFormat::llama, "<|python is fun", "<|python is fun", {}},
        Case{ToolFormat::llama,
             R"(It is {"name": "add", "parameters": {}})",
             R"(It is {"name": "add", "parameters": {}})",
             {}}));

INSTANTIATE_TEST_SUITE_P(
    Mistral, ToolCallTest,
    ::testing::Values(
        Case{ToolFormat::mistral,
             R"([TOOL_CALLS][{"name": "add", "arguments": {"a": 1}}])",
             "",
             {{0, {"add", R"({"a": 1})"}}}},
        Case{
            ToolFormat::mistral,
            R"(Well. [TOOL_CALLS] [{"name":"add","arguments":{}}, {"name":"get_time","arguments":{"b":"]"}}] )",
            "Well.",
            {{0, {"add", "{}"}}, {1, {"get_time", R"({"b":"]"})"}}}},
        Case{ToolFormat::mistral, R"( [{"name":"add","arguments":{}}])", "", {{0, {"add", "{}"}}}},
        Case{ToolFormat::mistral, "[1, 2]", "[1, 2]", {}}, Case{ToolFormat::mistral, "[TOOL_", "[TOOL_", {}},
        Case{ToolFormat::mistral, R"([{"x": 1}])", R"([{"x": 1}])", {}}));

TEST(ToolCallParser, GivesOutWhatIsCertainAtOnce) {
  ToolCallParser parser(ToolFormat::hermes, {"add"});
  EXPECT_EQ(parser.push("Hello <to"), (std::vector<ToolDelta>{{Kind::content, 0, "Hello"}}));
  EXPECT_EQ(parser.push("p"), (std::vector<ToolDelta>{{Kind::content, 0, " <top"}}));
  EXPECT_TRUE(parser.push("<tool_call>{\"name\": \"add\"").empty());
  EXPECT_EQ(parser.push(", "), (std::vector<ToolDelta>{{Kind::call, 0, "add"}}));
  EXPECT_EQ(parser.push("\"arguments\": {\"a"), (std::vector<ToolDelta>{{Kind::arguments, 0, "{\"a"}}));
  EXPECT_EQ(parser.push("\": 12"), (std::vector<ToolDelta>{{Kind::arguments, 0, "\": 12"}}));
  EXPECT_EQ(parser.push("}}"), (std::vector<ToolDelta>{{Kind::arguments, 0, "}"}}));
  EXPECT_EQ(parser.calls(), 1U);
}

TEST(ToolCallParser, SaysWhatACallWasThatBreaks) {
  const std::string begin = R"(<tool_call>{"name":"add", "arguments":{"a":tr)";
  ToolCallParser broken(ToolFormat::hermes, {"add"});
  EXPECT_EQ(broken.push(begin),
            (std::vector<ToolDelta>{{Kind::call, 0, "add"}, {Kind::arguments, 0, "{\"a\":tr"}}));
  EXPECT_EQ(broken.push("!}} "),
            (std::vector<ToolDelta>{{Kind::broken, 0, begin + "!"}, {Kind::content, 0, "}}"}}));
  EXPECT_EQ(broken.push("<tool_call>{\"name\":\"add\"}"),
            (std::vector<ToolDelta>{{Kind::call, 1, "add"}, {Kind::arguments, 1, "{}"}}));
  EXPECT_EQ(broken.calls(), 1U);
  ToolCallParser cut(ToolFormat::hermes, {"add"});
  cut.push(begin);
  EXPECT_EQ(cut.finish(), (std::vector<ToolDelta>{{Kind::broken, 0, begin, true}}));
}

TEST(ToolCallParser, OneCallIsEnoughWhereNoMoreAreWanted) {
  ToolCallParser parser(ToolFormat::hermes, {"add"}, false);
  const auto deltas = parser.push(kCall + kCall + "text");
  EXPECT_EQ(deltas, (std::vector<ToolDelta>{{Kind::call, 0, "add"}, {Kind::arguments, 0, kArguments}}));
  EXPECT_TRUE(parser.done());
  EXPECT_TRUE(parser.finish().empty());
}

TEST(JsonScanner, AgreesWithTheLibrary) {
  const std::vector<std::string> texts = {
      "{}",          "[]",     "{\"a\":[1,-2.5e+3,0,true,false,null,\"\\u00e9\\n\"]}", "1", "-0.1E-2", "\"\"",
      " [ 1 , 2 ] ", "[[],{}]"};
  for (const std::string& text : texts) ASSERT_TRUE(is_json(text)) << text;
  test::Random random(5);
  const std::string letters = "{}[]\",:0123456789.-+eEtrufalsn\\ \n\tx";
  int valid = 0;
  const int rounds = test::rounds(20000);
  for (int round = 0; round < rounds; ++round) {
    std::string text = texts[static_cast<size_t>(random.integer(0, static_cast<int64_t>(texts.size()) - 1))];
    for (int64_t i = random.integer(0, 2); i > 0; --i) {
      const auto at = static_cast<size_t>(random.integer(0, static_cast<int64_t>(text.size())));
      const char letter =
          letters[static_cast<size_t>(random.integer(0, static_cast<int64_t>(letters.size()) - 1))];
      if (random.integer(0, 1) == 0 || at == text.size()) {
        text.insert(at, 1, letter);
      } else {
        text[at] = letter;
      }
    }
    // The library refuses numbers that no double holds.
    if (std::regex_search(text, std::regex("[eE][+-]?[0-9]{3}"))) continue;
    EXPECT_EQ(is_json(text), Json::accept(text)) << text;
    valid += Json::accept(text) ? 1 : 0;
  }
  EXPECT_GT(valid, rounds / 5);
  EXPECT_LT(valid, rounds * 4 / 5);
}

}  // namespace
}  // namespace rotor::runtime::server
