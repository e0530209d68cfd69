// Lines of conversations: what they are read as, which tokens are to be predicted, how they are packed.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "rotor/core/error.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tokenizers.h"
#include "train/data/chat_file.h"
#include "train/data/packing.h"

namespace rotor::train {
namespace {

using test::expect_error;
using test::TempDir;
using text::TokenId;

OrderedJson json(const std::string& text) {
  return parse_ordered_json(text, "test");
}

ChatRecord record(const std::string& text) {
  return read_chat_record(json(text));
}

TEST(ChatRecord, KnowsTheShapesThatPeopleHave) {
  const OrderedJson expected =
      json(R"([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}])");
  EXPECT_EQ(record(R"({"messages": [{"role": "user", "content": "Hi"},
                                    {"role": "assistant", "content": "Hello"}]})")
                .messages,
            expected);
  EXPECT_EQ(
      record(R"({"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]})")
          .messages,
      expected);
  EXPECT_EQ(record(R"({"instruction": "Hi", "input": "", "output": "Hello"})").messages, expected);
  EXPECT_EQ(record(R"({"instruction": "Hi", "output": "Hello", "source": "x"})").messages, expected);
  EXPECT_EQ(record(R"({"instruction": "Add", "input": "1 and 2", "output": "3"})").messages[0]["content"],
            "Add\n\n1 and 2");
  EXPECT_EQ(record(R"({"system": "Be brief.", "instruction": "Hi", "output": "Hello"})").messages[0],
            json(R"({"role": "system", "content": "Be brief."})"));
  EXPECT_EQ(record(R"({"text": "Once."})").text, "Once.");
  EXPECT_TRUE(record(R"({"text": "Once."})").is_text());
  EXPECT_EQ(
      record(R"({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
                       "tools": [{"name": "f"}]})")
          .tools,
      json(R"([{"name": "f"}])"));
}

TEST(ChatRecord, SaysWhatIsWrongWithALine) {
  const std::vector<std::pair<const char*, std::vector<std::string>>> bad = {
      {R"([1])", {"expected an object", "[1]"}},
      {R"({"prompt": "a"})", {"expected messages, conversations, instruction or text"}},
      {R"({"messages": []})", {"\"messages\"", "[]"}},
      {R"({"messages": [3]})", {"message 0", "an object", "3"}},
      {R"({"messages": [{"content": "a"}]})", {"message 0", "\"role\""}},
      {R"({"messages": [{"role": "user", "content": 3}]})", {"message 0", "content", "3"}},
      {R"({"messages": [{"role": "user", "content": "a"}]})", {"answer of the assistant", "none"}},
      {R"({"messages": [{"role": "assistant", "content": " \n"}]})", {"message 0", "answer is empty"}},
      {R"({"conversations": [{"from": "wizard", "value": "a"}]})", {"human", "gpt", "wizard"}},
      {R"({"conversations": [{"from": "human"}]})", {"turn 0", "value"}},
      {R"({"instruction": " ", "input": "", "output": "a"})", {"instruction", "empty"}},
      {R"({"instruction": "a", "output": ""})", {"answer is empty"}},
      {R"({"instruction": "a"})", {"output"}},
      {R"({"instruction": 1, "output": "a"})", {"instruction", "a text", "1"}},
      {R"({"text": " "})", {"text", "empty"}},
  };
  for (const auto& [line, parts] : bad) expect_error([&, text = line] { record(text); }, parts);
}

TEST(PreferenceRecord, TakesTextsAndMessages) {
  const PreferenceRecord texts =
      read_preference_record(json(R"({"prompt": "Hi", "chosen": "a", "rejected": "b"})"));
  EXPECT_EQ(texts.prompt, json(R"([{"role": "user", "content": "Hi"}])"));
  EXPECT_EQ(texts.chosen, json(R"([{"role": "assistant", "content": "a"}])"));
  // Whole conversations that begin alike, as some data sets have them.
  const PreferenceRecord whole = read_preference_record(json(
      R"({"chosen": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "a"}],
          "rejected": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "b"}]})"));
  EXPECT_EQ(whole.prompt, texts.prompt);
  EXPECT_EQ(whole.chosen, texts.chosen);
  EXPECT_EQ(whole.rejected, texts.rejected);
  expect_error([] { read_preference_record(json(R"({"prompt": "Hi", "chosen": "a", "rejected": "a"})")); },
               {"the same"});
  expect_error([] { read_preference_record(json(R"({"prompt": "Hi", "chosen": "a"})")); }, {"rejected"});
  expect_error([] { read_preference_record(json(R"({"chosen": "a", "rejected": "b"})")); }, {"prompt"});
  expect_error([] { read_preference_record(json(R"({"prompt": "Hi", "chosen": " ", "rejected": "b"})")); },
               {"chosen", "empty"});
}

/// Each message in brackets, answers marked; "<|end|>" is a token of the tokenizer.
constexpr const char* kTemplate =
    "{% for m in messages %}{% if m.role == 'assistant' %}[{% generation %}{{ m.content }}<|end|>"
    "{% endgeneration %}]{% elif m.role == 'user' %}({{ m.content }}){% else %}"
    "{{ raise_exception('no role ' + m.role) }}{% endif %}{% endfor %}";

class ChatEncoderTest : public ::testing::Test {
 protected:
  ChatEncoderTest() : encoder_(tokenizer_, text::ChatTemplate(kTemplate), std::nullopt, tokenizer_.eos()) {}

  /// The text of the tokens that are predicted, and of all.
  std::pair<std::string, std::string> texts(const EncodedChat& chat) const {
    std::vector<TokenId> targets;
    for (size_t i = 1; i < chat.tokens.size(); ++i) {
      if (chat.targets[i]) targets.push_back(chat.tokens[i]);
    }
    return {tokenizer_.decode(targets), tokenizer_.decode(chat.tokens)};
  }
  std::string write_lines(const std::string& name, const std::string& text) const {
    test::write_bytes(dir_.file(name), text);
    return dir_.file(name);
  }
  TextDataConfig config(const std::string& lines) const {
    TextDataConfig config;
    config.type = "chat";
    config.path = write_lines("chats.jsonl", lines);
    config.validation_fraction = 0.0;
    config.block_size = 63;
    return config;
  }
  ChatSplits<EncodedChat> read(const TextDataConfig& config) const { return read_chats(config, encoder_, 2); }

  TempDir dir_;
  text::ByteLevelBpe tokenizer_{test::small_bpe()};
  ChatEncoder encoder_;
};

TEST_F(ChatEncoderTest, AnswersAndWhatEndsThemArePredicted) {
  const auto [targets, all] = texts(encoder_.encode(record(
      R"({"messages": [{"role": "user", "content": "q1"}, {"role": "assistant", "content": "a1"},
                       {"role": "user", "content": "q2"}, {"role": "assistant", "content": "a2"}]})")));
  EXPECT_EQ(all, "(q1)[a1<|end|>](q2)[a2<|end|>]");
  EXPECT_EQ(targets, "a1<|end|>a2<|end|>");
  const auto [text_targets, text_all] = texts(encoder_.encode(record(R"({"text": "one <|end|>"})")));
  EXPECT_EQ(text_all.substr(0, 11), "one <|end|>");  // characters, no token
  EXPECT_EQ(text_targets, text_all.substr(1));
}

TEST_F(ChatEncoderTest, ATokenThatReachesIntoAnAnswerIsPredicted) {
  // "abc" is one token, of which the answer is the "bc".
  const ChatEncoder encoder(tokenizer_,
                            text::ChatTemplate("{% for m in messages %}{% if m.role == 'assistant' %}a"
                                               "{% generation %}{{ m.content }}{% endgeneration %}c"
                                               "{% else %}{{ m.content }} {% endif %}{% endfor %}"),
                            std::nullopt, std::nullopt);
  const auto [targets, all] = texts(encoder.encode(record(R"({"instruction": "q", "output": "b"})")));
  EXPECT_EQ(all, "q abc");
  EXPECT_EQ(targets, "abc");
}

TEST_F(ChatEncoderTest, OfAPreferenceTheLastAnswersArePredicted) {
  const auto [chosen, rejected] = encoder_.encode(read_preference_record(json(
      R"({"prompt": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "old"},
                     {"role": "user", "content": "r"}], "chosen": "yes", "rejected": "no"})")));
  EXPECT_EQ(texts(chosen),
            (std::pair<std::string, std::string>("yes<|end|>", "(q)[old<|end|>](r)[yes<|end|>]")));
  EXPECT_EQ(texts(rejected).first, "no<|end|>");
}

TEST_F(ChatEncoderTest, WithoutATemplateItSaysWhatToDo) {
  const ChatEncoder bare(tokenizer_, std::nullopt, std::nullopt, std::nullopt);
  expect_error([&] { bare.encode(record(R"({"instruction": "q", "output": "b"})")); },
               {"no chat template", "data.chat_template", "plain"});
  EXPECT_EQ(bare.encode(record(R"({"text": "abcx"})")).num_targets(), 1);
}

TEST_F(ChatEncoderTest, ThePlainTemplateEndsAnswers) {
  const ChatEncoder plain(tokenizer_,
                          text::ChatTemplate(kPlainChatTemplate, "plain", {{"eos_token", "<|end|>"}}),
                          std::nullopt, std::nullopt);
  const auto [targets, all] =
      texts(plain.encode(record(R"({"system": "S", "instruction": "q", "output": "b"})")));
  EXPECT_EQ(all, "S\nUser: q\nAssistant: b<|end|>\n");
  EXPECT_EQ(targets, " b<|end|>");  // so that the prompt ends with no space, which would be a token apart
}

TEST_F(ChatEncoderTest, BadLinesAreNamedOrCounted) {
  const std::string good = R"({"instruction": "q", "output": "b"})";
  TextDataConfig bad =
      config(good + "\n\n{\"instruction\": \"q\"}\n{oops\n" +
             R"({"messages": [{"role": "wizard", "content": "x"}, {"role": "assistant", "content": "y"}]})" +
             "\n" + good + "\n");
  expect_error([&] { read(bad); }, {"chats.jsonl:3", "output", "skip_bad"});
  bad.skip_bad = true;
  const auto chats = read(bad);
  EXPECT_EQ(chats.train.size(), 2U);
  EXPECT_EQ(chats.counts.lines, 5);
  EXPECT_EQ(chats.counts.bad, 3);
  EXPECT_EQ(chats.counts.text(63), "5 lines; 3 bad lines were skipped");
  TextDataConfig hopeless = config("{oops\n");
  hopeless.skip_bad = true;
  expect_error([&] { read(hopeless); }, {"no conversation is left", "chats.jsonl:1"});
  expect_error([&] { read(config("[" + good + "]")); }, {"expected JSON lines", "array", "jq"});
  TextDataConfig missing = config(good);
  missing.path = dir_.file("none.jsonl");
  expect_error([&] { read(missing); }, {"none.jsonl", "cannot open"});
}

TEST_F(ChatEncoderTest, LongConversationsAreCutOrLeftOut) {
  const std::string longer(80, 'x');
  const std::string lines = R"({"instruction": "q", "output": "b"})"
                            "\n"
                            R"({"instruction": "q", "output": ")" +
                            longer + "\"}\n" + R"({"instruction": ")" + longer +
                            R"(", "output": "never seen"})" + "\n";
  TextDataConfig cut = config(lines);
  const auto chats = read(cut);
  ASSERT_EQ(chats.train.size(), 2U);
  EXPECT_EQ(chats.train[1].tokens.size(), 64U);
  EXPECT_EQ(chats.counts.cut, 1);
  EXPECT_EQ(chats.counts.cut_tokens, 3 + 1 + 80 + 2 - 64);  // "(q)[", the answer, its end and "]"
  EXPECT_EQ(chats.counts.dropped, 1);
  EXPECT_EQ(chats.counts.text(63),
            "3 lines; 1 longer than 64 tokens were cut by 22 tokens; 1 too long was left out");
  cut.too_long = "drop";
  EXPECT_EQ(read(cut).train.size(), 1U);
  EXPECT_EQ(read(cut).counts.dropped, 2);
}

TEST_F(ChatEncoderTest, ValidationIsAShareThatStaysTheSame) {
  std::string lines;
  for (int i = 0; i < 200; ++i) lines += R"({"instruction": "q", "output": ")" + std::to_string(i) + "\"}\n";
  TextDataConfig half = config(lines);
  half.validation_fraction = 0.1;
  const auto chats = read(half);
  EXPECT_EQ(chats.train.size(), 180U);
  EXPECT_EQ(chats.validation.size(), 20U);
  const auto again = read_chats(half, encoder_, 1);
  for (size_t i = 0; i < 20; ++i) EXPECT_EQ(again.validation[i].tokens, chats.validation[i].tokens);
  half.validation_path = write_lines("v.jsonl", R"({"instruction": "q", "output": "v"})");
  EXPECT_EQ(read(half).train.size(), 200U);
  EXPECT_EQ(read(half).validation.size(), 1U);
}

TEST(PackRows, EachItemOnceInEveryEpochAndLittleIsEmpty) {
  std::vector<int32_t> lengths;
  for (int32_t i = 0; i < 3000; ++i) lengths.push_back(1 + (i * 7919) % 96);
  const int64_t total = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  std::vector<int64_t> first_order;
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    const PackedRows rows = pack_rows(lengths, 128, 7, epoch);
    std::vector<int64_t> items = rows.items;
    if (epoch == 0) first_order = items;
    if (epoch > 0) {
      EXPECT_NE(items, first_order);
    }
    std::ranges::sort(items);
    for (int64_t i = 0; i < 3000; ++i) ASSERT_EQ(items[static_cast<size_t>(i)], i);
    for (int64_t row = 0; row < rows.count(); ++row) {
      int64_t used = 0;
      for (const int64_t item : rows.row(row)) used += lengths[static_cast<size_t>(item)];
      ASSERT_LE(used, 128);
      ASSERT_GT(used, 0);
    }
    EXPECT_LT(static_cast<double>(rows.count() * 128), 1.03 * static_cast<double>(total))
        << "rows are nearly full";
  }
  EXPECT_EQ(pack_rows(lengths, 128, 7, 1).items, pack_rows(lengths, 128, 7, 1).items);
  EXPECT_NE(pack_rows(lengths, 128, 8, 0).items, first_order);
  EXPECT_EQ(pack_rows({}, 128, 7, 0).count(), 0);
}

}  // namespace
}  // namespace rotor::train
