// Chat templates against transformers and Jinja2 (tests/golden/chat_templates), and what they must not do:
// run on, grow without bounds, or take wrong messages.
#include "rotor/text/chat_template.h"

#include <gtest/gtest.h>

#include <ctime>

#include "rotor/core/error.h"
#include "rotor/text/jinja/json_value.h"
#include "rotor/text/model_text.h"
#include "rotor/text/sentencepiece.h"
#include "tests/support/golden.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tokenizers.h"

namespace rotor::text {
namespace {

OrderedJson golden(const char* name) {
  return read_ordered_json_file(test::golden_path(cat("chat_templates/", name, ".json")));
}

/// What an expression-level template gives, with any variables and no messages around it.
std::string render(const std::string& source, const OrderedJson& variables = OrderedJson::object(),
                   size_t max_work = jinja::kMaxWork) {
  const jinja::ParsedTemplate parsed = jinja::parse(source);
  const jinja::RenderInput input{jinja::from_json(variables, "variables"), std::chrono::system_clock::now(),
                                 max_work};
  return jinja::Evaluator(parsed, input).render().text;
}

/// The time that the golden chats were made at, in local time.
std::chrono::system_clock::time_point golden_time() {
  std::tm local{};
  local.tm_year = 124;
  local.tm_mon = 6;
  local.tm_mday = 26;
  local.tm_hour = 12;
  local.tm_min = 30;
  local.tm_sec = 5;
  local.tm_isdst = -1;
  return std::chrono::system_clock::from_time_t(std::mktime(&local));
}

ChatTemplate golden_template(const OrderedJson& file, const std::string& name) {
  return ChatTemplate(file["templates"][name].get<std::string>(), name, file["special_tokens"]);
}

ChatOptions golden_options(const OrderedJson& file, const OrderedJson& example) {
  ChatOptions options;
  options.add_generation_prompt = example.value("add_generation_prompt", false);
  options.continue_final_message = example.value("continue_final_message", false);
  if (example.contains("tools")) options.tools = file["tools"];
  if (example.contains("documents")) options.documents = file["documents"];
  if (example.contains("variables")) options.variables = example["variables"];
  options.now = golden_time();
  return options;
}

OrderedJson messages(const std::string& text) {
  return parse_ordered_json(text, "test");
}

TEST(ChatTemplate, ExpressionsGiveWhatJinja2Gives) {
  const OrderedJson file = golden("expressions");
  size_t compared = 0;
  for (const OrderedJson& example : file["cases"]) {
    const std::string source = example["template"];
    try {
      const std::string text = render(source, file["variables"]);
      if (example.contains("text")) {
        EXPECT_EQ(text, example["text"].get<std::string>()) << source;
      } else {
        ADD_FAILURE() << source << "\ngives " << text << "\nnot an error: " << example["error"];
      }
    } catch (const Error& e) {
      EXPECT_TRUE(example.contains("error")) << source << "\n"
                                             << e.what() << "\ninstead of " << example["text"];
    }
    ++compared;
  }
  EXPECT_GT(compared, 1000U);
}

TEST(ChatTemplate, ChatsGiveWhatTransformersGives) {
  const OrderedJson file = golden("chats");
  size_t texts = 0;
  size_t with_answers = 0;
  for (const OrderedJson& example : file["cases"]) {
    const std::string name = example["template"];
    const OrderedJson& chat = file["conversations"][example["conversation"].get<std::string>()];
    const ChatOptions options = golden_options(file, example);
    const ChatTemplate chat_template = golden_template(file, name);
    if (example.contains("error")) {
      EXPECT_THROW(chat_template.render(chat, options), Error) << example;
      continue;
    }
    try {
      EXPECT_EQ(chat_template.render(chat, options), example["text"].get<std::string>()) << example;
      ++texts;
      if (!example.contains("answers")) continue;
      const ChatText marked = chat_template.render_with_answers(chat, options);
      EXPECT_EQ(marked.text, example["text"].get<std::string>());
      std::vector<Span> answers;
      for (const auto& answer : example["answers"]) answers.push_back({answer[0], answer[1]});
      EXPECT_EQ(marked.answers, answers) << example;
      ++with_answers;
    } catch (const Error& e) {
      ADD_FAILURE() << example << "\n" << e.what();
    }
  }
  EXPECT_GT(texts, 400U);
  EXPECT_GT(with_answers, 40U);
}

TEST(ChatTemplate, AnswersAreWhatFollowsTheGenerationPrompt) {
  const OrderedJson file = golden("chats");
  const OrderedJson& chat = file["conversations"]["answered"];
  const auto answers = [&](const char* name) {
    const ChatText text = golden_template(file, name).render_with_answers(chat);
    std::vector<std::string> parts;
    for (const Span& span : text.answers)
      parts.push_back(text.text.substr(span.begin, span.end - span.begin));
    return parts;
  };
  using Parts = std::vector<std::string>;
  EXPECT_EQ(answers("bitnet_2b4t"), (Parts{"A1<|eot_id|>", "A2 ü<|eot_id|>"}));
  EXPECT_EQ(answers("chatml"), (Parts{"A1<|im_end|>\n", "A2 ü<|im_end|>\n"}));
  EXPECT_EQ(answers("chatml_generation"), (Parts{"A1<|im_end|>", "A2 ü<|im_end|>"}));
  EXPECT_EQ(answers("llama3"), (Parts{"A1<|eot_id|>", "A2 ü<|eot_id|>"}));
  // No answer of the assistant, no span; nor without a prompt for the first message.
  const ChatTemplate chatml = golden_template(file, "chatml");
  EXPECT_TRUE(chatml.render_with_answers(file["conversations"]["one"]).answers.empty());
}

TEST(ChatTemplate, AnswersThatDependOnLaterMessagesAreRefused) {
  // The end-of-text token stands behind the last message only.
  const ChatTemplate ends(
      "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
      "{% if add_generation_prompt %}assistant: {% else %}<end>{% endif %}",
      "ends");
  const OrderedJson chat = messages(R"([{"role":"user","content":"a"},{"role":"assistant","content":"b"},)"
                                    R"({"role":"user","content":"c"}])");
  test::expect_error([&] { static_cast<void>(ends.render_with_answers(chat)); },
                     {"ends", "messages[1]", "otherwise when other messages follow"});
  const ChatTemplate thinks(
      "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
      "{% if add_generation_prompt %}assistant: <think>{% endif %}");
  test::expect_error([&] { static_cast<void>(thinks.render_with_answers(chat)); },
                     {"messages[1]", "than the generation prompt"});
  const ChatTemplate in_macro(
      "{% macro f(x) %}{% generation %}{{ x }}{% endgeneration %}{% endmacro %}"
      "{% for m in messages %}{{ f(m.content) }}{% endfor %}");
  EXPECT_EQ(in_macro.render(chat), "abc");
  test::expect_error([&] { static_cast<void>(in_macro.render_with_answers(chat)); }, {"generation", "macro"});
}

TEST(ChatTemplate, SpansAreBytesOfSeveralGenerations) {
  const ChatTemplate two(
      "{% for m in messages %}é{% generation %}ü{{ m.content }}{% endgeneration %}.{% endfor %}");
  const ChatText text = two.render_with_answers(messages(R"([{"role":"user","content":"a"},{"role":"x"}])"));
  EXPECT_EQ(text.text, "éüa.éü.");
  EXPECT_EQ(text.answers, (std::vector<Span>{{2, 5}, {8, 10}}));
}

TEST(ChatTemplate, ErrorsNameMessageAndField) {
  const ChatTemplate plain("{% for m in messages %}{{ m.content }}{% endfor %}");
  const auto expect = [&](const char* chat, const std::vector<std::string>& parts) {
    test::expect_error([&] { static_cast<void>(plain.render(messages(chat))); }, parts);
  };
  expect(R"({"role":"user"})", {"messages", "an array"});
  expect(R"([3])", {"messages[0]", "an object", "3"});
  expect(R"([{"role":"user","content":"a"},{"content":"b"}])", {"messages[1]", "role is missing"});
  expect(R"([{"role":1,"content":"a"}])", {"messages[0].role", "a text", "1"});
  expect(R"([{"role":"user","content":5}])", {"messages[0].content", "array of parts", "5"});
  expect(R"([{"role":"user","content":["a"]}])", {"messages[0].content[0]", "an object with a type"});
  expect(R"([{"role":"user","content":[{"type":"image"}]}])", {"content[0].type", "\"text\"", "image"});
  expect(R"([{"role":"user","content":[{"type":"text"}]}])", {"content[0].text", "a text", "null"});
  expect(R"([{"role":"user","content":"a","id":18446744073709551615}])", {"messages[0].id", "64 bits"});
  ChatOptions options;
  options.tools = OrderedJson::object();
  const OrderedJson chat = messages(R"([{"role":"user","content":"a"}])");
  test::expect_error([&] { static_cast<void>(plain.render(chat, options)); }, {"tools", "an array", "{}"});
  options.tools = nullptr;
  options.continue_final_message = options.add_generation_prompt = true;
  test::expect_error([&] { static_cast<void>(plain.render(chat, options)); }, {"continue_final_message"});
  OrderedJson broken = chat;
  broken[0]["content"] = "\xFF";
  test::expect_error([&] { static_cast<void>(plain.render(broken)); }, {"messages[0].content", "UTF-8"});
}

TEST(ChatTemplate, ErrorsNameSourceAndLine) {
  const auto expect = [](const char* text, const std::vector<std::string>& parts) {
    test::expect_error(
        [&] {
          const ChatTemplate chat_template(text, "m.rotor: chat template");
          static_cast<void>(chat_template.render(messages(R"([{"role":"user","content":"a"}])")));
        },
        parts);
  };
  expect("a\nb\n{{ messages.x.y }}", {"m.rotor: chat template: line 3", "'list' has no attribute 'x'"});
  expect("{{ a.b }}", {"line 1", "'a' is undefined"});
  expect("\n{{ raise_exception('no system role') }}", {"line 2", "refuses", "no system role"});
  expect("a\n{% if x %}\nb", {"line 2", "not closed", "endif"});
  expect("\n\n{% include 'x' %}", {"line 3", "include", "not supported"});
  expect("{% wibble %}", {"line 1", "unknown tag \"wibble\""});
  expect("{{ 'x'|wordwrap }}", {"line 1", "wordwrap", "not supported"});
  expect("{{ 'x'|wibble }}", {"no filter \"wibble\""});
  expect("{{ 'x' is wibble }}", {"no test \"wibble\""});
  expect("{{ 'x'.format(1) }}", {"not supported"});
  expect("{{ messages.append(1) }}", {"append", "would change"});
  expect("{% for x in messages recursive %}{% endfor %}", {"recursive", "not supported"});
  expect("{{ f(*messages) }}", {"\"*\"", "not supported"});
  expect("{{ joiner(',') }}", {"joiner", "not supported"});
  expect("{{ 1 + }}", {"line 1", "expected an expression", "end of the tag"});
  expect("a\n{{ 'x }}", {"line 2", "string is not closed"});
  expect("{{ \xFF }}", {"UTF-8"});
}

/// `part`, `count` times.
std::string times(int count, const char* part) {
  std::string text;
  for (; count > 0; --count) text += part;
  return text;
}

TEST(ChatTemplate, HostileTemplatesEnd) {
  const std::vector<std::string> templates = {
      cat("{{ ", times(200, "("), "1", times(200, ")"), " }}"),
      cat("{{ ", times(5000, "-"), "1 }}"),
      cat("{{ 1", times(5000, "+1"), " }}"),
      cat("{{ x", times(5000, ".y"), " }}"),
      times(500, "{% if 1 %}"),
      cat("{{ ", times(5000, "not "), "1 }}"),
      cat("{% macro f() %}", times(100, "{% if 1 %}"), "{{ f() }}", times(100, "{% endif %}"),
          "{% endmacro %}{{ f() }}"),
      cat("{% macro f() %}", times(100, "{% for i in [1] %}"), "{{ f() }}", times(100, "{% endfor %}"),
          "{% endmacro %}{{ f() }}"),
      "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      "{% macro f() %}{% call f() %}{% endcall %}{% endmacro %}{{ f() }}",
      "{{ 'a' * 1000000000 }}",
      "{{ [1] * 1000000000 }}",
      "{{ range(1000000000)|list }}",
      "{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}",
      "{% for a in range(90000) %}{{ 'aaaaaaaaaa' * 1000 }}{% endfor %}",
      "{% set ns = namespace(x='a') %}{% for i in range(100) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(100) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(1000) %}{% set ns.x = [ns.x] %}{% endfor %}",
      "{{ ('a' * 1000000)|replace('a', 'b' * 1000000) }}",
      "{{ ('a' * 1000000).split('a') }}",
      "{{ ('a\n' * 200000)|indent(1000) }}",
      "{{ (['a' * 1000000] * 100000)|join }}",
      "{{ 'x'|center(1000000000000) }}",
      "{{ '%1000000000d' % 1 }}",
      "{{ '%.1000000000f' % 1 }}",
      "{{ 9223372036854775807 + 1 }}",
      "{{ -9223372036854775807 - 2 }}",
      "{{ 10 ** 100 }}",
      "{{ 99999999999999999999 }}",
      "{{ [[1]]|tojson(indent=1000000000) ~ ('a' * 9999999) ~ 'bbb' }}",
      "{{ strftime_now('%c' * 100000) }}",
      "{% set ns = namespace() %}{% set ns.me = ns %}{{ ns.me.me.nope.x }}",
      "{% macro f() %}{% endmacro %}{% set ns = namespace(f=f) %}{{ ns.f.x.y }}",
  };
  for (const std::string& source : templates) {
    EXPECT_THROW(
        {
          const std::string text = render(source, OrderedJson::object(), size_t{1} << 26);
          ADD_FAILURE() << source.substr(0, 80) << " gives " << text.size() << " bytes";
        },
        Error)
        << source.substr(0, 80);
  }
}

TEST(ChatTemplate, IsChosenByName) {
  const std::string text =
      join_templates({{"default", "D{{ messages|length }}"}, {"tool_use", "T"}, {"rag", "R"}});
  const ChatTemplate several(text, "several");
  const OrderedJson chat = messages(R"([{"role":"user","content":"a"}])");
  ChatOptions options;
  EXPECT_EQ(several.names(), (std::vector<std::string>{"default", "rag", "tool_use"}));
  EXPECT_EQ(several.render(chat, options), "D1");
  options.tools = OrderedJson::array();
  EXPECT_EQ(several.render(chat, options), "T");
  options.name = "rag";
  EXPECT_EQ(several.render(chat, options), "R");
  options.name = "x";
  test::expect_error([&] { static_cast<void>(several.render(chat, options)); },
                     {"several", "'x'", "default, rag, tool_use"});
  // A template that begins like a list is none.
  EXPECT_EQ(ChatTemplate("[INST] {{ messages[0].content }} [/INST]").render(chat), "[INST] a [/INST]");
  EXPECT_EQ(join_templates(named_templates("[x]", "t")), "[x]");
  EXPECT_EQ(join_templates(named_templates(text, "t")), text);
  test::expect_error([] { ChatTemplate(R"([{"name":"a"}])", "t"); }, {"t: [0]", "name and template"});
  test::expect_error([] { ChatTemplate(R"([{"name":"a","template":""},{"name":"a","template":""}])", "t"); },
                     {"two templates", "'a'"});
  test::expect_error([] { ChatTemplate(R"([{"name":"a","template":"{{"}])", "t"); }, {"t", "line 1"});
}

TEST(ChatTemplate, OfAModelKnowsItsSpecialTokens) {
  const OrderedJson chat = messages(R"([{"role":"user","content":"a"}])");
  ModelText model;
  EXPECT_FALSE(chat_template(model, "m").has_value());
  model.metadata.chat_template = "{{ bos_token }}|{{ messages[0].content }}|{{ eos_token }}";
  EXPECT_EQ(chat_template(model, "m")->render(chat), "|a|");
  model.tokenizer = std::make_unique<ByteLevelBpe>(test::small_bpe());
  const TokenId end = model.tokenizer->encode("<|end|>", SpecialTokens::parse)[0];
  EXPECT_EQ(chat_template(model, "m")->render(chat), "|a|");
  model.metadata.stop_tokens = {end};
  EXPECT_EQ(chat_template(model, "m")->render(chat), "|a|<|end|>");
  model.metadata.stop_tokens = {};
  model.tokenizer = make_sentencepiece_tokenizer(test::small_sentencepiece(), "small");
  EXPECT_EQ(chat_template(model, "m")->render(chat), "<s>|a|</s>");
  ChatOptions options;
  options.variables = {{"eos_token", "other"}};
  EXPECT_EQ(chat_template(model, "m")->render(chat, options), "<s>|a|other");
}

}  // namespace
}  // namespace rotor::text
