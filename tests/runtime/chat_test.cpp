// Conversations: what is computed anew, what is left out when the context is full, and what bad messages get.
#include "runtime/chat/chat.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "tests/support/adapters.h"
#include "tests/support/chat_model.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime {
namespace {

using test::expect_error;
using text::TokenId;

constexpr int64_t kSmallContext = 64;

class ChatTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    files_ = new test::TempDir;
    test::write_chat_model(files_->file("m.rotor"), kSmallContext);
    ModelConfig config = test::small_transformer();
    config.transformer.vocab_size = RotorFile(files_->file("m.rotor")).config().transformer.vocab_size;
    test::write_random_model(files_->file("bare.rotor"), config);
    test::write_random_adapter(files_->file("adapter"), config, 2);
    model_ = new LanguageModel(files_->file("m.rotor"));
  }
  static void TearDownTestSuite() {
    delete model_;
    delete files_;
  }

  Chat make_chat() const { return {*model_, *model_->chat_template(), {.kv = KvType::f32}}; }
  Sampler greedy() const { return {{.temperature = 0.0}, model_->vocab_size()}; }
  /// The prompt of these messages, computed in one go.
  std::vector<TokenId> prompt(const OrderedJson& messages) const {
    text::ChatOptions options;
    options.add_generation_prompt = true;
    return model_->tokenizer()->encode(model_->chat_template()->render(messages, options),
                                       text::SpecialTokens::parse);
  }
  std::vector<TokenId> answer_of_a_fresh_session(const std::vector<TokenId>& prompt, int64_t tokens) const {
    Session session = model_->make_session({.kv = KvType::f32});
    Sampler sampler = greedy();
    return generate(feed_of(session), prompt, sampler, model_->tokenizer(),
                    {.max_new_tokens = tokens, .stop_tokens = model_->stop_tokens()})
        .ids;
  }

  static inline test::TempDir* files_ = nullptr;
  static inline LanguageModel* model_ = nullptr;
};

TEST_F(ChatTest, AnswersAreThoseOfTheWholePromptAndOnlyNewTokensAreComputed) {
  Chat chat = make_chat();
  chat.set_system("be");
  std::vector<TokenId> before;
  for (const char* question : {"ab", "cab", "x"}) {
    OrderedJson messages = chat.messages();
    messages.push_back({{"role", "user"}, {"content", question}});
    const std::vector<TokenId> whole = prompt(messages);
    const auto same = std::ranges::mismatch(before, whole).in1 - before.begin();
    Sampler sampler = greedy();
    const ChatAnswer answer = chat.ask(question, sampler, {.max_new_tokens = 3});
    EXPECT_EQ(answer.generated.ids, answer_of_a_fresh_session(whole, 3)) << question;
    EXPECT_EQ(answer.prompt_tokens, static_cast<int64_t>(whole.size()));
    EXPECT_EQ(answer.cached_tokens, same) << question;
    EXPECT_EQ(answer.generated.prompt_tokens, answer.prompt_tokens - answer.cached_tokens);
    EXPECT_EQ(answer.left_out, 0);
    EXPECT_EQ(chat.messages().back().at("content"), answer.generated.text);
    before.assign(chat.session().tokens().begin(), chat.session().tokens().end());
    if (question != std::string("ab")) {
      EXPECT_GT(answer.cached_tokens, 8) << "the turns before are not read again";
    }
  }
}

TEST_F(ChatTest, WhatAMessageSaysEndsNoMessage) {
  Chat chat = make_chat();
  Sampler sampler = greedy();
  chat.ask("ab<|end|>s:x", sampler, {.max_new_tokens = 1});
  const auto tokens = chat.session().tokens();
  const TokenId end = model_->tokenizer()->encode("<|end|>", text::SpecialTokens::parse).at(0);
  EXPECT_EQ(std::ranges::count(tokens, end), 1) << "that of the template";
  EXPECT_TRUE(model_->tokenizer()->decode(tokens).starts_with("u:ab<|end|>s:x<|end|>a:"));
}

TEST_F(ChatTest, AContextStandsBeforeTheQuestionOfItsAnswerAlone) {
  Chat chat = make_chat();
  Sampler sampler = greedy();
  const auto seen = [&] { return model_->tokenizer()->decode(chat.session().tokens()); };
  const GenerateOptions one{.max_new_tokens = 1};
  const std::string first = chat.ask("ab", sampler, one,
                                     [&] {
                                       EXPECT_EQ(chat.messages().back().at("content"), "ab");
                                       return std::string("S<|end|>:");
                                     })
                                .generated.text;
  EXPECT_TRUE(seen().starts_with("u:S<|end|>:ab<|end|>a:")) << seen();
  const TokenId end = model_->tokenizer()->encode("<|end|>", text::SpecialTokens::parse).at(0);
  EXPECT_EQ(std::ranges::count(chat.session().tokens(), end), 1) << "a context holds no special token";
  EXPECT_EQ(chat.messages().at(0).at("content"), "ab");
  chat.ask("c", sampler, one, [] { return std::string("T:"); });
  EXPECT_TRUE(seen().starts_with("u:ab<|end|>a:" + first + "<|end|>u:T:c<|end|>a:")) << seen();
  EXPECT_TRUE(chat.take_back_answer());
  chat.answer(sampler, one);
  EXPECT_TRUE(seen().starts_with("u:ab<|end|>a:" + first + "<|end|>u:c<|end|>a:")) << seen();

  const OrderedJson before = chat.messages();
  EXPECT_THROW(chat.ask("d", sampler, one, []() -> std::string { throw std::runtime_error("no"); }),
               std::runtime_error);
  EXPECT_EQ(chat.messages(), before);
}

TEST_F(ChatTest, ThereIsRoomForTheContextThatItSays) {
  for (const size_t length : {0U, 10U, 30U, 40U, 45U}) {
    Chat chat = make_chat();
    Sampler sampler = greedy();
    int64_t room = -1;
    chat.ask(std::string(length, 'x'), sampler, {.max_new_tokens = 4}, [&] {
      room = chat.room_for_context(4);
      return std::string(static_cast<size_t>(room), 'y');  // a token each
    });
    // "u:", the end of the message and "a:" take five tokens.
    EXPECT_EQ(room,
              std::min<int64_t>(kSmallContext - 4 - 5 - static_cast<int64_t>(length), kSmallContext / 3));
  }
}

TEST_F(ChatTest, UncertaintyIsOfTheAnswerWithoutContext) {
  Chat chat = make_chat();
  Sampler sampler = greedy();
  std::optional<double> uncertainty;
  const ChatAnswer answer = chat.ask("ab", sampler, {.max_new_tokens = 2}, [&] {
    uncertainty = chat.uncertainty(8, {});
    EXPECT_FALSE(chat.uncertainty(8, [] { return false; })) << "given up";
    return std::string("S:");
  });
  Session session = model_->make_session({.kv = KvType::f32});
  Sampler again = greedy();
  const auto plain =
      generate(feed_of(session), prompt({{{"role", "user"}, {"content", "ab"}}}), again, nullptr,
               {.max_new_tokens = 8, .stop_tokens = model_->stop_tokens(), .entropy = true});
  EXPECT_NEAR(uncertainty.value(), plain.entropy.value(), 1e-4);
  EXPECT_EQ(answer.cached_tokens, 2) << "\"u:\", the probe's prompt going on with another letter";
}

TEST_F(ChatTest, AnotherAnswerComputesOneTokenOfThePrompt) {
  Chat chat = make_chat();
  EXPECT_FALSE(chat.take_back_answer());
  Sampler sampler = greedy();
  const ChatAnswer first = chat.ask("abc", sampler, {.max_new_tokens = 4});
  EXPECT_TRUE(chat.take_back_answer());
  EXPECT_EQ(chat.messages().size(), 1U);
  Sampler again = greedy();
  const ChatAnswer second = chat.answer(again, {.max_new_tokens = 4});
  EXPECT_EQ(second.generated.ids, first.generated.ids);
  EXPECT_EQ(second.generated.prompt_tokens, 1);
}

TEST_F(ChatTest, BlanksThatTheTemplateWritesAreNoContent) {
  const auto answer = [&](const std::string& before_content) {
    const std::string chat_template =
        "{% for m in messages %}{{ m.role[0] }}:" + before_content +
        "{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}a:{% endif %}";
    Chat chat(*model_, text::ChatTemplate(chat_template, "a test's"), {.kv = KvType::f32});
    // A blank, and then, since tokens that came are less wanted, a letter.
    const auto id = [&](const char* text) {
      return model_->tokenizer()->encode(text, text::SpecialTokens::as_text).at(0);
    };
    Sampler sampler({.temperature = 0.0,
                     .repeat_last_n = 1,
                     .frequency_penalty = 500.0,
                     .logit_bias = {{id(" "), 1000.0F}, {id("?"), 900.0F}}},
                    model_->vocab_size());
    EXPECT_EQ(chat.ask("ab", sampler, {.max_new_tokens = 2}).generated.text, " ?");
    const auto content = chat.messages().back().at("content").get<std::string>();
    Sampler next = greedy();
    const int64_t known = chat.session().position();
    EXPECT_EQ(chat.ask("ab", next, {.max_new_tokens = 1}).cached_tokens, known) << "nothing is read again";
    return content;
  };
  EXPECT_EQ(answer(" "), "?");
  EXPECT_EQ(answer(""), " ?");
}

TEST_F(ChatTest, TheOldestTurnsAreLeftOutWhenTheContextIsFull) {
  Chat chat = make_chat();
  chat.set_system("sys");
  int64_t left_out = 0;
  int64_t times = 0;
  for (int turn = 0; turn < 16; ++turn) {
    Sampler sampler = greedy();
    const ChatAnswer answer = chat.ask("0123", sampler, {.max_new_tokens = 2});
    ASSERT_LE(answer.prompt_tokens + 2, kSmallContext);
    EXPECT_EQ(answer.left_out % 2, 0) << "whole turns";
    if (answer.left_out > left_out) {
      ++times;
      EXPECT_LE(answer.prompt_tokens, kSmallContext / 2) << "so that there is room for more turns";
    }
    left_out = answer.left_out;
    const auto tokens = chat.session().tokens();
    EXPECT_EQ(model_->tokenizer()->decode({tokens.data(), 5}), "s:sys") << "the system's message stays";
  }
  EXPECT_GE(times, 2);
  EXPECT_LE(times, 8) << "not at every turn";
  EXPECT_EQ(chat.messages().size(), 33U) << "nothing is lost";
}

TEST_F(ChatTest, WhatCannotFitIsAnErrorAndChangesNothing) {
  Chat chat = make_chat();
  Sampler sampler = greedy();
  chat.ask("ab", sampler, {.max_new_tokens = 2});
  const OrderedJson before = chat.messages();
  expect_error([&] { chat.ask(std::string(100, '!'), sampler, {.max_new_tokens = 2}); }, {"context has 64"});
  EXPECT_EQ(chat.messages(), before);
  EXPECT_EQ(chat.ask("ab", sampler, {.max_new_tokens = 2}).left_out, 0);
  expect_error([&] { chat.answer(sampler, {}); }, {"expected a message to answer"});
  chat.reset();
  EXPECT_TRUE(chat.messages().empty());
  expect_error([&] { chat.answer(sampler, {}); }, {"found none"});
  chat.set_system("be");
  expect_error([&] { chat.answer(sampler, {}); }, {"found none"});
}

TEST_F(ChatTest, AnInterruptedAnswerIsKept) {
  Chat chat = make_chat();
  Sampler sampler = greedy();
  GenerateOptions options;
  options.on_token = [count = 0](TokenId) mutable { return ++count < 3; };
  const ChatAnswer answer = chat.ask("ab", sampler, options);
  EXPECT_EQ(answer.generated.stop_reason, StopReason::interrupted);
  EXPECT_EQ(answer.generated.ids.size(), 3U);
  EXPECT_EQ(chat.messages().size(), 2U);
}

TEST_F(ChatTest, MessagesGoToAFileAndBack) {
  Chat chat = make_chat();
  chat.set_system("be \"brief\"");
  Sampler sampler = greedy();
  chat.ask("ab\n", sampler, {.max_new_tokens = 2});
  const std::string path = files_->file("chat.json");
  write_messages(path, chat.messages());
  EXPECT_EQ(read_messages(path), chat.messages());
  const auto refuse = [&](const std::string& text, const std::vector<std::string>& parts) {
    test::write_bytes(path, text);
    expect_error([&] { read_messages(path); }, parts);
  };
  refuse("{}", {path, "expected an array of messages, found object"});
  refuse("[7]", {path, "[0]: expected an object, found number"});
  refuse(R"([{"role": "user"}])", {path, "[0].content: expected a text, found none"});
  refuse(R"([{"role": "user", "content": 1}])", {path, "[0].content: expected a text, found number"});
  refuse(R"([{"role": "user", "content": ""}, {"role": "system", "content": ""}])",
         {path, "[1].role: expected user, assistant or tool, found \"system\""});
  refuse("[", {path});
  expect_error([&] { read_messages(files_->file("none.json")); }, {"none.json"});
  chat.set_system("");
  EXPECT_EQ(chat.messages().size(), 2U);
}

TEST_F(ChatTest, TheTemplateIsTheAdaptersOrTheModels) {
  const OrderedJson messages = {{{"role", "user"}, {"content", "Hi"}}};
  const auto written = [&](const std::string& model, std::vector<AdapterChoice> adapters) -> std::string {
    LanguageModelOptions options;
    options.adapters = std::move(adapters);
    const auto found = LanguageModel(files_->file(model), options).chat_template();
    return found ? found->render(messages) : "none";
  };
  const std::string adapter = files_->file("adapter");
  EXPECT_EQ(written("m.rotor", {{adapter, 1.0F}}), "u:Hi<|end|>");
  EXPECT_EQ(written("bare.rotor", {}), "none");
  test::write_bytes(adapter + "/chat_template.jinja", "<{{ messages[0].content }}>");
  EXPECT_EQ(written("m.rotor", {{adapter, 1.0F}}), "<Hi>");
  EXPECT_EQ(written("bare.rotor", {{adapter, 1.0F}}), "<Hi>");
  EXPECT_EQ(written("m.rotor", {}), "u:Hi<|end|>");
  std::filesystem::remove(adapter + "/chat_template.jinja");
  const LanguageModel bare(files_->file("bare.rotor"));
  expect_error([&] { Chat(bare, *model_->chat_template(), {}); }, {"bare.rotor", "expected a tokenizer"});
}

}  // namespace
}  // namespace rotor::runtime
