// The loop of generation over a model that says what it is told: every way in which a text ends, and what
// reaches the callbacks.
#include "runtime/engine/generate.h"

#include <gtest/gtest.h>

#include <numeric>

#include "rotor/core/error.h"
#include "rotor/formats/attachments.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime {
namespace {

using text::TokenId;

/// Ids 0 to 255 are bytes, 256 is "</s>", then some longer tokens; a space at the beginning of a text is
/// dropped.
class ByteTokenizer final : public text::Tokenizer {
 public:
  static constexpr TokenId kEnd = 256;
  static constexpr TokenId kHel = 257;
  static constexpr TokenId kSpaceStop = 258;

  std::string kind() const override { return "bytes"; }
  int64_t vocab_size() const override { return 259; }
  std::optional<TokenId> bos() const override { return std::nullopt; }
  std::optional<TokenId> eos() const override { return kEnd; }
  RotorAttachments attachments() const override { return {}; }
  text::TokenizerDefinition definition() const override { return text::BpeDefinition{}; }
  std::vector<TokenId> encode(std::string_view text, text::SpecialTokens) const override {
    std::vector<TokenId> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string decode(std::span<const TokenId> ids) const override {
    std::string text;
    for (const TokenId id : ids) text += token_bytes(id, text.empty());
    return text;
  }
  std::string token_bytes(TokenId id, bool first) const override {
    if (id == kEnd) return "</s>";
    if (id == kHel) return "Hel";
    if (id == kSpaceStop) return " STO";
    if (id == ' ' && first) return "";
    return {static_cast<char>(id)};
  }
};

/// Wants to say `script`, whatever is fed; notes what was fed.
class ScriptedModel {
 public:
  ScriptedModel(std::vector<TokenId> script, int64_t room, int64_t vocab_size = 259)
      : script_(std::move(script)), vocab_size_(vocab_size) {
    feed_ = {.feed = [this](std::span<const TokenId> tokens, const WantedLogits&) { return feed(tokens); },
             .room = room};
  }

  const TokenFeed& model() const { return feed_; }
  std::vector<TokenId> fed;
  std::vector<size_t> batches;

 private:
  std::span<const float> feed(std::span<const TokenId> tokens) {
    fed.insert(fed.end(), tokens.begin(), tokens.end());
    batches.push_back(tokens.size());
    EXPECT_LE(std::ssize(fed), feed_.room);
    in_script_ = tokens.size() == 1 && !prompt_ ? in_script_ + 1 : 0;
    prompt_ = false;
    logits_.assign(static_cast<size_t>(vocab_size_), 0.0F);
    logits_[static_cast<size_t>(script_[in_script_ % script_.size()])] = 5.0F;
    return logits_;
  }

  std::vector<TokenId> script_;
  int64_t vocab_size_;
  TokenFeed feed_;
  bool prompt_ = true;
  size_t in_script_ = 0;
  std::vector<float> logits_;
};

std::vector<TokenId> bytes(const std::string& text) {
  return ByteTokenizer().encode(text, text::SpecialTokens::as_text);
}

const SamplerOptions kGreedy = {.temperature = 0.0};

GenerateResult run(ScriptedModel& model, const GenerateOptions& options,
                   const std::vector<TokenId>& prompt = {1, 2, 3}) {
  const ByteTokenizer tokenizer;
  Sampler sampler(kGreedy, tokenizer.vocab_size());
  return generate(model.model(), prompt, sampler, &tokenizer, options);
}

TEST(Generate, EndsAtTheLength) {
  ScriptedModel model(bytes("Hello"), 100);
  const GenerateResult result = run(model, {.max_new_tokens = 4});
  EXPECT_EQ(result.text, "Hell");
  EXPECT_EQ(result.ids, bytes("Hell"));
  EXPECT_EQ(result.stop_reason, StopReason::length);
  EXPECT_STREQ(name(result.stop_reason), "length");
  EXPECT_EQ(result.prompt_tokens, 3);
  EXPECT_EQ(result.decoded_tokens, 3);
  EXPECT_EQ(model.fed, (std::vector<TokenId>{1, 2, 3, 'H', 'e', 'l'}));  // the last one is not needed
  EXPECT_GT(result.prompt_tokens_per_second(), 0.0);
  EXPECT_GT(result.decode_tokens_per_second(), 0.0);
}

TEST(Generate, NoNewTokensIsThePromptAlone) {
  ScriptedModel model(bytes("x"), 100);
  const GenerateResult result = run(model, {.max_new_tokens = 0});
  EXPECT_EQ(result.ids.size(), 0U);
  EXPECT_EQ(result.stop_reason, StopReason::length);
  EXPECT_EQ(model.fed.size(), 3U);
  EXPECT_EQ(result.decode_tokens_per_second(), 0.0);
}

TEST(Generate, EndsAtAStopTokenWhichIsNoPartOfTheText) {
  auto script = bytes("ok");
  script.push_back(ByteTokenizer::kEnd);
  ScriptedModel model(script, 100);
  GenerateResult result = run(model, {.max_new_tokens = 10, .stop_tokens = {7, ByteTokenizer::kEnd}});
  EXPECT_EQ(result.text, "ok");
  EXPECT_EQ(result.ids, bytes("ok"));
  EXPECT_EQ(result.stop_reason, StopReason::stop_token);
  ScriptedModel again(script, 100);
  result = run(again, {.max_new_tokens = 5});
  EXPECT_EQ(result.text, "ok</s>ok");
}

TEST(Generate, EndsAtAStopStringAcrossTokens) {
  std::vector<TokenId> script = bytes("a STEP");
  script.push_back(ByteTokenizer::kSpaceStop);
  script.push_back('P');
  script.push_back('z');
  ScriptedModel model(script, 100);
  std::vector<std::string> pieces;
  const GenerateResult result = run(model, {.stop_strings = {"STOP"}, .on_text = [&](std::string_view text) {
                                              pieces.emplace_back(text);
                                              return true;
                                            }});
  EXPECT_EQ(result.text, "a STEP ");
  EXPECT_EQ(result.stop_reason, StopReason::stop_string);
  EXPECT_EQ(result.ids.size(), 8U);
  EXPECT_EQ(pieces, (std::vector<std::string>{"a", " ", "STE", "P", " "}));
}

TEST(Generate, EndsWhenTheContextIsFull) {
  ScriptedModel model(bytes("abc"), 5);
  GenerateResult result = run(model, {});
  EXPECT_EQ(result.text, "abc");  // two are fed back, the third needs no room
  EXPECT_EQ(result.stop_reason, StopReason::context);
  EXPECT_EQ(model.fed.size(), 5U);
  ScriptedModel exact(bytes("abc"), 3);
  result = run(exact, {});
  EXPECT_EQ(result.text, "a");
  EXPECT_EQ(result.stop_reason, StopReason::context);
  ScriptedModel length_first(bytes("abc"), 5);
  EXPECT_EQ(run(length_first, {.max_new_tokens = 3}).stop_reason, StopReason::length);
}

TEST(Generate, NeverSplitsACharacter) {
  ScriptedModel model(bytes("né\xE2\x82"), 100);
  std::vector<std::string> pieces;
  const GenerateResult result = run(model, {.max_new_tokens = 5, .on_text = [&](std::string_view text) {
                                              pieces.emplace_back(text);
                                              return true;
                                            }});
  EXPECT_EQ(pieces, (std::vector<std::string>{"n", "é", "\xEF\xBF\xBD"}));
  EXPECT_EQ(result.text, "né\xEF\xBF\xBD");
}

TEST(Generate, AnyCallbackCanEndIt) {
  ScriptedModel by_text(bytes("abcdef"), 100);
  int calls = 0;
  GenerateResult result =
      run(by_text, {.stop_strings = {"de"}, .on_text = [&](std::string_view) { return ++calls < 3; }});
  EXPECT_EQ(result.text, "abc");
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(result.stop_reason, StopReason::interrupted);

  ScriptedModel by_token(bytes("abcdef"), 100);
  std::string shown;
  result = run(by_token, {.stop_strings = {"bcx"},
                          .on_token = [](TokenId id) { return id != 'd'; },
                          .on_text =
                              [&](std::string_view text) {
                                shown += text;
                                return true;
                              }});
  EXPECT_EQ(shown, "abc");  // what was held back is shown
  EXPECT_EQ(result.ids, bytes("abcd"));
  EXPECT_EQ(result.stop_reason, StopReason::interrupted);

  ScriptedModel by_prompt(bytes("abcdef"), 100);
  std::vector<TokenId> prompt(10);
  result = run(by_prompt, {.prompt_batch = 4, .on_prompt = [](int64_t done) { return done < 8; }}, prompt);
  EXPECT_EQ(result.prompt_tokens, 8);
  EXPECT_EQ(result.ids.size(), 0U);
  EXPECT_EQ(result.stop_reason, StopReason::interrupted);
}

TEST(Generate, FeedsThePromptInBatches) {
  ScriptedModel model({'x'}, 100);
  std::vector<TokenId> prompt(10);
  std::iota(prompt.begin(), prompt.end(), 0);
  std::vector<int64_t> done;
  run(model,
      {.max_new_tokens = 1,
       .prompt_batch = 4,
       .on_prompt =
           [&](int64_t tokens) {
             done.push_back(tokens);
             return true;
           }},
      prompt);
  EXPECT_EQ(model.fed, prompt);
  EXPECT_EQ(model.batches, (std::vector<size_t>{4, 4, 2}));
  EXPECT_EQ(done, (std::vector<int64_t>{4, 8, 10}));
}

TEST(Generate, ContinuesATextOrBeginsOne) {
  ScriptedModel model(bytes(" a"), 100);
  EXPECT_EQ(run(model, {.max_new_tokens = 2}).text, " a");
  ScriptedModel again(bytes(" a"), 100);
  EXPECT_EQ(run(again, {.max_new_tokens = 2, .continues_text = false}).text, "a");
}

TEST(Generate, PenaltiesSeeThePromptAndTheNewTokens) {
  ScriptedModel model({'x'}, 100);
  const ByteTokenizer tokenizer;
  Sampler sampler({.temperature = 0.0, .presence_penalty = 6.0}, tokenizer.vocab_size());
  const std::vector<TokenId> prompt = {0, 'x'};
  const GenerateResult result = generate(model.model(), prompt, sampler, &tokenizer, {.max_new_tokens = 3});
  EXPECT_EQ(result.ids, (std::vector<TokenId>{1, 2, 3}));
}

TEST(Generate, WithoutTokenizerThereAreIdsAlone) {
  ScriptedModel model({5, 6}, 100);
  Sampler sampler(kGreedy, 259);
  std::vector<TokenId> ids;
  const std::vector<TokenId> prompt = {1};
  const GenerateResult result =
      generate(model.model(), prompt, sampler, nullptr, {.max_new_tokens = 3, .on_token = [&](TokenId id) {
                                                           ids.push_back(id);
                                                           return true;
                                                         }});
  EXPECT_EQ(ids, (std::vector<TokenId>{5, 6, 5}));
  EXPECT_EQ(result.ids, ids);
  EXPECT_EQ(result.text, "");
  test::expect_error([&] { generate(model.model(), prompt, sampler, nullptr, {.stop_strings = {"a"}}); },
                     {"stop strings", "tokenizer"});
}

TEST(Generate, IdsThatOnlyTheModelHasAreNeverDrawn) {
  ScriptedModel model({299}, 100, 300);
  const GenerateResult result = run(model, {.max_new_tokens = 2});
  EXPECT_EQ(result.ids, (std::vector<TokenId>{0, 0}));
}

TEST(Generate, BadPromptsAreErrors) {
  ScriptedModel model({'x'}, 5);
  test::expect_error([&] { run(model, {}, {}); }, {"prompt", "at least one token"});
  test::expect_error([&] { run(model, {}, std::vector<TokenId>(6)); }, {"prompt: 6 tokens", "room for 5"});
  test::expect_error([&] { run(model, {}, {1, 259}); }, {"token id", "0 to 258", "259"});
  test::expect_error([&] { run(model, {.stop_strings = {""}}); }, {"stop string"});
  EXPECT_EQ(model.fed.size(), 0U);
}

}  // namespace
}  // namespace rotor::runtime
