// Tokenizers into Hugging Face directories and back. On what is written here transformers 5.23.0 with
// tokenizers 0.23.3 gave the golden ids of Llama 3 and Llama 2, and Google's ids for trained BPE, char and
// unigram models, but where texts name special tokens, which it always parses.
#include "rotor/text/tokenizer_files.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/text/byte_level_bpe.h"
#include "rotor/text/chat_template.h"
#include "rotor/text/sentencepiece_model.h"
#include "rotor/text/sentencepiece_tokenizer.h"
#include "tests/support/golden.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tokenizers.h"

namespace rotor::text {
namespace {

using test::expect_error;
using test::TempDir;

TEST(TokenizerFiles, GoldenIdsOfLlama3) {
  const std::string path = test::shared_path("data/tokenizers/llama3-tokenizer.model");
  if (path.empty()) GTEST_SKIP() << "no shared data here: Llama 3's tokenizer is not on this machine";
  const TempDir source;
  const auto published = load_tokenizer(test::llama3_tokenizer_json(source.path()));
  const TempDir dir;
  write_tokenizer_files(dir.path(), *published, {});
  const auto written = load_tokenizer(dir.path());
  test::expect_llama3(*written);
  test::expect_same_attachments(*written, *published);
  // tiktoken's ranks become the same file.
  const TempDir ranks;
  write_tokenizer_files(ranks.path(), *load_tokenizer(path), {});
  EXPECT_TRUE(test::read_bytes(ranks.file("tokenizer.json")) == test::read_bytes(dir.file("tokenizer.json")));
  // Of a .rotor file's tables as of those in memory.
  test::write_model_with(dir.file("m.rotor"), published->attachments());
  write_tokenizer_files(ranks.path(), *load_tokenizer(dir.file("m.rotor")), {});
  EXPECT_TRUE(test::read_bytes(ranks.file("tokenizer.json")) == test::read_bytes(dir.file("tokenizer.json")));
}

TEST(TokenizerFiles, GoldenIdsOfLlama2) {
  const std::string path = test::shared_path("data/tokenizers/llama2-tokenizer.model");
  if (path.empty()) GTEST_SKIP() << "no shared data here: Llama 2's tokenizer is not on this machine";
  const TempDir dir;
  write_tokenizer_files(dir.path(), *load_tokenizer(path), {});
  test::expect_llama2(*load_tokenizer(dir.path()));
  EXPECT_TRUE(test::read_bytes(dir.file("tokenizer.model")) == test::read_bytes(path));
}

TEST(TokenizerFiles, ByteLevelBpeComesBack) {
  BpeDefinition definition = test::small_bpe();
  definition.tokens[262] = "";                            // an id without a token
  definition.specials.emplace_back("<\xC3\xA9 |>", 264);  // a name that is not made of letters
  definition.tokens.emplace_back("<\xC3\xA9 |>");
  definition.tokens.emplace_back("cc");  // behind the special tokens
  const ByteLevelBpe bpe(definition);
  const TempDir dir;
  write_tokenizer_files(dir.path(), bpe, {});
  const auto written = load_tokenizer(dir.path());
  test::expect_same_ids(*written, bpe);
  EXPECT_EQ(written->encode("<\xC3\xA9 |>", SpecialTokens::parse), std::vector<TokenId>{264});
  EXPECT_EQ(written->attachments().metadata, bpe.attachments().metadata);
  const TempDir again;
  write_tokenizer_files(again.path(), *written, {});
  test::expect_same_attachments(*load_tokenizer(again.path()), *written);
}

TEST(TokenizerFiles, ConfigHoldsSpecialTokensAndTemplate) {
  TextMetadata text;
  text.bos_token = 263;
  text.stop_tokens = {263, 97};
  text.chat_template = "{{ bos_token }}\n\"";
  const TempDir dir;
  write_tokenizer_files(dir.path(), ByteLevelBpe(test::small_bpe()), text);
  Json config = read_json_file(dir.file("tokenizer_config.json"));
  EXPECT_EQ(config["tokenizer_class"], "PreTrainedTokenizerFast");
  EXPECT_EQ(config["bos_token"], "<|end|>");
  EXPECT_EQ(config["eos_token"], "<|end|>");
  EXPECT_EQ(config["add_bos_token"], true);
  EXPECT_EQ(config["chat_template"], *text.chat_template);
  Json json = read_json_file(dir.file("tokenizer.json"));
  EXPECT_EQ(json["post_processor"]["special_tokens"]["<|end|>"]["ids"], Json::array({263}));
  EXPECT_EQ(json["added_tokens"].size(), 1U);
  EXPECT_EQ(json["added_tokens"][0]["special"], true);
  text.chat_template = join_templates({{"default", "{{ a }}"}, {"tool_use", "{{ b }}"}});
  write_tokenizer_files(dir.path(), ByteLevelBpe(test::small_bpe()), text);
  config = read_json_file(dir.file("tokenizer_config.json"));
  EXPECT_EQ(config["chat_template"][1], (Json{{"name", "tool_use"}, {"template", "{{ b }}"}}));

  text = {};
  text.stop_tokens = {97};  // an ordinary token is not named: it would become a special one
  write_tokenizer_files(dir.path(), ByteLevelBpe(test::small_bpe()), text);
  config = read_json_file(dir.file("tokenizer_config.json"));
  EXPECT_FALSE(config.contains("bos_token"));
  EXPECT_FALSE(config.contains("eos_token"));
  EXPECT_FALSE(config.contains("chat_template"));
  EXPECT_EQ(config["add_bos_token"], false);
  EXPECT_TRUE(read_json_file(dir.file("tokenizer.json"))["post_processor"].is_null());
}

TEST(TokenizerFiles, SentencePieceComesBack) {
  for (const bool dummy_prefix : {true, false}) {
    const std::string serialized = test::small_sentencepiece(dummy_prefix);
    const SentencePieceTokenizer pieces(serialized, "small");
    TextMetadata text;
    text.bos_token = 1;
    const TempDir dir;
    write_tokenizer_files(dir.path(), pieces, text);
    EXPECT_EQ(test::read_bytes(dir.file("tokenizer.model")), serialized);
    test::expect_same_ids(*load_tokenizer(dir.path()), pieces);
    const Json config = read_json_file(dir.file("tokenizer_config.json"));
    EXPECT_EQ(config["tokenizer_class"], "PreTrainedTokenizerFast") << "which takes tokenizer.json as it is";
    EXPECT_EQ(config["legacy"], false);
    EXPECT_EQ(config["add_prefix_space"], dummy_prefix);
    EXPECT_EQ(config["add_bos_token"], true);
    EXPECT_EQ(config["bos_token"], "<s>");
    EXPECT_EQ(config["eos_token"], "</s>");
    EXPECT_EQ(config["unk_token"], "<unk>");
    EXPECT_FALSE(config.contains("pad_token"));
  }
}

TEST(TokenizerFiles, SentencePieceForTheTokenizersLibrary) {
  const std::string space(kSpaceSymbol);
  const TempDir dir;
  SentencePieceModel model = read_sentencepiece_model(test::small_sentencepiece());
  write_tokenizer_files(dir.path(), SentencePieceTokenizer(write_sentencepiece_model(model), "small"), {});
  Json json = read_json_file(dir.file("tokenizer.json"));
  EXPECT_EQ(json["model"]["type"], "BPE");
  EXPECT_EQ(json["model"]["byte_fallback"], true);
  EXPECT_EQ(json["model"]["vocab"].size(), model.pieces.size());
  EXPECT_EQ(json["model"]["vocab"]["abc"], 264);
  // By falling score of the result: ab, _a, bc, _ab, abc, __, _abc; of one result by left and right ids.
  const std::vector<std::vector<std::string>> merges = {
      {"a", "b"},  {space, "a"},   {"b", "c"},          {space + "a", "b"},  {space, "ab"}, {"ab", "c"},
      {"a", "bc"}, {space, space}, {space + "a", "bc"}, {space + "ab", "c"}, {space, "abc"}};
  EXPECT_EQ(json["model"]["merges"].get<std::vector<std::vector<std::string>>>(), merges);
  EXPECT_EQ(json["added_tokens"].size(), 4U);  // <unk>, <s>, </s>, new line
  EXPECT_EQ(json["added_tokens"][2]["special"], true);
  EXPECT_EQ(json["added_tokens"][3]["content"], "\n");
  EXPECT_EQ(json["added_tokens"][3]["special"], false);
  EXPECT_EQ(json["normalizer"]["normalizers"][0]["type"], "Prepend");

  model.type = SentencePieceModel::Type::unigram;
  model.add_dummy_prefix = false;
  write_tokenizer_files(dir.path(), SentencePieceTokenizer(write_sentencepiece_model(model), "small"), {});
  json = read_json_file(dir.file("tokenizer.json"));
  EXPECT_EQ(json["model"]["type"], "Unigram");
  EXPECT_EQ(json["model"]["unk_id"], 0);
  EXPECT_EQ(json["model"]["vocab"][263][0], space + "ab");
  EXPECT_EQ(json["model"]["vocab"][263][1], -4.0);
  EXPECT_EQ(json["normalizer"]["normalizers"].size(), 1U);

  const TempDir other;  // a change of the text that the file does not say
  model.remove_extra_whitespaces = true;
  write_tokenizer_files(other.path(), SentencePieceTokenizer(write_sentencepiece_model(model), "small"), {});
  EXPECT_FALSE(std::filesystem::exists(other.file("tokenizer.json")));
  EXPECT_EQ(read_json_file(other.file("tokenizer_config.json"))["tokenizer_class"], "LlamaTokenizer");
}

TEST(TokenizerFiles, RefusesWhatTheFilesCannotHold) {
  const TempDir dir;
  const auto expect_refused = [&](const BpeDefinition& definition, const TextMetadata& text,
                                  const std::vector<std::string>& parts) {
    expect_error([&] { write_tokenizer_files(dir.path(), ByteLevelBpe(definition), text); }, parts);
    EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
  };
  BpeDefinition definition = test::small_bpe();
  definition.tokens.emplace_back("ab");
  expect_refused(definition, {}, {"256 and 264", "\"ab\""});
  definition = test::small_bpe();
  definition.specials[0].first = definition.tokens[263] = "<\xFF>";
  expect_refused(definition, {}, {"special token 263", "UTF-8"});
  TextMetadata text;
  text.stop_tokens = {264};
  expect_refused(test::small_bpe(), text, {"end-of-text token", "0 to 263", "264"});
  text = {};
  text.bos_token = 97;
  expect_refused(test::small_bpe(), text, {"begin-of-text token 97", "special"});
}

TEST(TokenizerFiles, AddedTokensKeepTheIdsOfTheVocabulary) {
  const TempDir dir;
  write_tokenizer_files(dir.path(), ByteLevelBpe(test::small_bpe()), {});
  Json json = read_json_file(dir.file("tokenizer.json"));
  json["added_tokens"][0]["id"] = 264;
  test::write_bytes(dir.file("tokenizer.json"), dump_json(json));
  expect_error([&] { load_tokenizer(dir.path()); }, {dir.path(), "<|end|>", "263", "264"});
}

}  // namespace
}  // namespace rotor::text
