// WordPiece against the ids of Hugging Face tokenizers (tests/golden/bert-tiny), out of every file that holds
// one, and what is wrong with such files.
#include "rotor/text/word_piece.h"

#include <gtest/gtest.h>

#include <fstream>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/formats/rotor_file.h"
#include "rotor/text/word_piece_loader.h"
#include "tests/support/encoders.h"
#include "tests/support/golden.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tokenizers.h"

namespace rotor::text {
namespace {

using test::expect_error;
using test::TempDir;

std::string bytes_of(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

/// Expects the golden ids of `kind`, "ids" and others; returns how many texts there are.
size_t expect_golden(const Tokenizer& tokenizer, const char* kind) {
  std::ifstream file(test::golden_path("bert-tiny/tokens.jsonl"));
  size_t count = 0;
  for (std::string line; std::getline(file, line); ++count) {
    const Json golden = parse_json(line, "tokens.jsonl");
    const std::string text = bytes_of(golden["utf8_hex"].get<std::string>());
    EXPECT_EQ(tokenizer.encode(text, SpecialTokens::as_text), golden[kind].get<std::vector<TokenId>>())
        << kind << ", text " << count << ": " << text;
    if (std::string(kind) == "ids") {
      EXPECT_EQ(tokenizer.decode(golden[kind].get<std::vector<TokenId>>()), golden["decoded"]) << text;
    }
  }
  return count;
}

WordPieceDefinition golden_definition() {
  return std::get<WordPieceDefinition>(
      load_tokenizer(test::golden_path("bert-tiny/tokenizer.json"))->definition());
}

TEST(WordPiece, GoldenIdsOutOfEveryFile) {
  const auto json = load_tokenizer(test::golden_path("bert-tiny/tokenizer.json"));
  EXPECT_EQ(json->kind(), "word_piece");
  EXPECT_GT(expect_golden(*json, "ids"), 70U);
  const auto vocab = load_tokenizer(test::golden_path("bert-tiny/vocab.txt"));
  expect_golden(*vocab, "ids");
  test::expect_same_attachments(*vocab, *json);
  const TempDir dir;
  test::write_model_with(dir.file("m.rotor"), json->attachments());
  EXPECT_EQ(RotorFile(dir.file("m.rotor")).verify(), std::vector<std::string>());
  const auto inside = load_tokenizer(dir.file("m.rotor"));
  expect_golden(*inside, "ids");
  EXPECT_EQ(inside->bos(), 2);
  EXPECT_EQ(inside->eos(), 3);
  expect_golden(WordPiece(std::get<WordPieceDefinition>(inside->definition())), "ids");
}

TEST(WordPiece, GoldenIdsOfOtherNormalizers) {
  WordPieceDefinition definition = golden_definition();
  definition.settings.strip_accents = false;
  expect_golden(WordPiece(definition), "ids_accents");
  definition.settings.lowercase = false;
  expect_golden(WordPiece(definition), "ids_cased");
  definition.settings = {.clean_text = false,
                         .handle_chinese_chars = false,
                         .strip_accents = true,
                         .lowercase = false,
                         .unk_token = definition.settings.unk_token,
                         .cls_token = definition.settings.cls_token,
                         .sep_token = definition.settings.sep_token};
  expect_golden(WordPiece(definition), "ids_raw");
  const TempDir dir;
  test::write_model_with(dir.file("m.rotor"), WordPiece(definition).attachments());
  expect_golden(*load_tokenizer(dir.file("m.rotor")), "ids_raw");
}

// Like BERT uncased and cased: accents go with the case unless the file says.
TEST(WordPiece, TokenizerConfigSaysHowVocabTxtIsUsed) {
  const TempDir dir;
  test::write_golden_bert(dir.file("m"));
  const std::string config = dir.file("m/tokenizer_config.json");
  test::replace_in_file(config, "\"do_lower_case\": true", "\"do_lower_case\": false");
  expect_golden(*load_tokenizer(dir.file("m/vocab.txt")), "ids_cased");
  test::replace_in_file(config, "\"do_lower_case\": false", "\"do_lower_case\": true");
  test::replace_in_file(config, "\"strip_accents\": null", "\"strip_accents\": false");
  expect_golden(*load_tokenizer(dir.file("m/vocab.txt")), "ids_accents");
  std::filesystem::remove(config);
  expect_golden(*load_tokenizer(dir.file("m/vocab.txt")), "ids");
  // A directory without tokenizer.json.
  std::filesystem::remove(dir.file("m/tokenizer.json"));
  EXPECT_EQ(tokenizer_file(dir.file("m")), dir.file("m/vocab.txt"));
  expect_golden(*load_tokenizer(dir.file("m")), "ids");
}

TEST(WordPiece, SpecialTokensAreParsedOnlyWhereThatIsAsked) {
  const auto tokenizer = load_tokenizer(test::golden_path("bert-tiny/tokenizer.json"));
  const std::string text = "[CLS]a[SEP]";
  EXPECT_EQ(tokenizer->encode(text, SpecialTokens::parse),
            (std::vector<TokenId>{2, tokenizer->encode("a", SpecialTokens::as_text).at(0), 3}));
  for (const TokenId id : tokenizer->encode(text + "[MASK] [PAD]", SpecialTokens::as_text)) {
    EXPECT_TRUE(id == 1 || id > 4) << id;  // [UNK] is what a word may become
  }
  EXPECT_EQ(tokenizer->special_tokens().size(), 5U);
  EXPECT_EQ(tokenizer->token_bytes(2, true), "[CLS]");
  expect_error([&] { static_cast<void>(tokenizer->token_bytes(100000, true)); }, {"token id", "100000"});
  expect_error([&] { static_cast<void>(tokenizer->decode(std::vector<TokenId>{-1})); }, {"found -1"});
}

// What is longer than words are takes no longer, and a text of many words no more than its share.
TEST(WordPiece, LongTexts) {
  const auto tokenizer = load_tokenizer(test::golden_path("bert-tiny/tokenizer.json"));
  EXPECT_EQ(tokenizer->encode(std::string(1 << 20, 'x'), SpecialTokens::as_text), std::vector<TokenId>{1});
  std::string words;
  for (int i = 0; i < 100000; ++i) words += "a ";
  EXPECT_EQ(tokenizer->encode(words, SpecialTokens::as_text).size(), 100000U);
  std::string dotted;
  for (int i = 0; i < 100000; ++i) dotted += "\xC4\xB0";  // U+0130
  EXPECT_EQ(tokenizer->encode(dotted, SpecialTokens::as_text), std::vector<TokenId>{1});
}

TEST(WordPiece, BadVocabTxt) {
  const TempDir dir;
  const std::string path = dir.file("vocab.txt");
  const auto load = [&] { static_cast<void>(load_tokenizer(path)); };
  test::write_bytes(path, "[PAD]\n[UNK]\n[CLS]\n[SEP]\nthe\ncat\nthe\n");
  expect_error(load, {"vocab.txt:7", "token \"the\" stands in line 5, too"});
  test::write_bytes(path, "[PAD]\n[CLS]\n[SEP]\nthe\n");
  expect_error(load, {path, "unk_token: expected a token of the vocabulary, found \"[UNK]\""});
  test::write_bytes(path, "[PAD]\n[UNK]\n[CLS]\nthe\n");
  expect_error(load, {"sep_token", "found \"[SEP]\""});
  test::write_bytes(path, "");
  expect_error(load, {path, "the file is empty"});
  test::write_bytes(path, "[UNK]\r\n[CLS]\r\n\r\n[SEP]\r\nthe");
  EXPECT_EQ(load_tokenizer(path)->encode("The the x", SpecialTokens::as_text),
            (std::vector<TokenId>{4, 4, 0}));
  test::write_bytes(dir.file("tokenizer_config.json"), R"({"do_basic_tokenize": false})");
  expect_error(load, {"tokenizer_config.json", "do_basic_tokenize: expected true, found false"});
  test::write_bytes(dir.file("tokenizer_config.json"), R"({"cls_token": 3})");
  expect_error(load, {"tokenizer_config.json", "cls_token: expected a token, found 3"});
  test::write_bytes(dir.file("tokenizer_config.json"), R"({"do_lower_case": "yes"})");
  expect_error(load, {"do_lower_case: expected true, false or null, found \"yes\""});
}

TEST(WordPiece, BadTokenizerJson) {
  const Json good = read_json_file(test::golden_path("bert-tiny/tokenizer.json"));
  const auto expect_refused = [&](const char* pointer, const Json& value,
                                  const std::vector<std::string>& parts) {
    Json json = good;
    json[Json::json_pointer(pointer)] = value;
    expect_error([&] { static_cast<void>(WordPiece(read_word_piece_json(json, "t.json"))); }, parts);
  };
  expect_refused("/normalizer", {{"type", "Lowercase"}},
                 {"t.json: normalizer: expected BertNormalizer, found", "Lowercase"});
  expect_refused("/normalizer/lowercase", 1,
                 {"normalizer: lowercase: expected true, false or null, found 1"});
  expect_refused("/pre_tokenizer", nullptr, {"pre_tokenizer: expected BertPreTokenizer, found null"});
  expect_refused("/model/unk_token", "<unk>", {"model.unk_token", "found \"<unk>\""});
  expect_refused("/model/vocab/a", 3, {"token id 3 stands twice"});
  expect_refused("/model/vocab/a", 1 << 30, {"token \"a\": expected an id from 0 to", "found 1073741824"});
  expect_refused("/model/vocab/a", "b", {"model.vocab: expected an integer, found \"b\""});
  expect_refused("/model/vocab", Json::object(), {"model.vocab: expected an object of tokens and ids"});
  expect_refused("/model/max_input_chars_per_word", 1001, {"max_input_chars_per_word: expected 0 to 1000"});
  expect_refused("/model/continuing_subword_prefix", std::string(65, '#'),
                 {"t.json: model.continuing_subword_prefix: expected at most 64 bytes, found 65"});
  expect_refused("/added_tokens/1/special", false,
                 {"added token \"[UNK]\": special: expected true, found false"});
  expect_refused("/added_tokens/1/id", 7, {"added token \"[UNK]\"", "expected the id", "1, found 7"});
  expect_refused("/post_processor", {{"type", "ByteLevel"}}, {"post_processor: expected one that puts"});
  expect_refused("/post_processor/single/0/SpecialToken/id", "<s>", {"post_processor", "found \"<s>\""});
  expect_refused("/model/vocab", 3, {"model.vocab: expected an object"});
  Json no_model = good;
  no_model.erase("model");
  expect_error([&] { static_cast<void>(read_word_piece_json(no_model, "t.json")); },
               {"t.json: not a tokenizer.json of WordPiece"});
}

TEST(WordPiece, BadSettingsInAFile) {
  const auto attachments = load_tokenizer(test::golden_path("bert-tiny/tokenizer.json"))->attachments();
  const Json good = parse_json(attachments.metadata.at(rotor_key::kWordPiece), "settings");
  const TempDir dir;
  const auto expect_refused = [&](const char* key, const Json& value, const std::vector<std::string>& parts) {
    RotorAttachments changed = attachments;
    Json json = good;
    json[key] = value;
    changed.metadata[rotor_key::kWordPiece] = dump_json(json);
    expect_error([&] { test::write_model_with(dir.file("m.rotor"), changed); }, parts);
  };
  expect_refused("unk_token", 528, {"rotor.tokenizer.word_piece: expected ids of 0 to 527, found 528"});
  expect_refused("cls_token", -1, {"expected a token id, found -1"});
  expect_refused("lowercase", 0, {"lowercase: expected true or false, found 0"});
  expect_refused("max_input_chars_per_word", 5000, {"max_input_chars_per_word: expected at most 1000"});
  expect_refused("continuing_subword_prefix", std::string(65, '#'), {"expected at most 64 bytes"});
  RotorAttachments none = attachments;
  none.metadata.erase(rotor_key::kWordPiece);
  expect_error([&] { test::write_model_with(dir.file("m.rotor"), none); },
               {"metadata \"rotor.tokenizer.word_piece\" is missing"});
  RotorAttachments fewer = attachments;
  fewer.tensors.pop_back();
  expect_error([&] { test::write_model_with(dir.file("m.rotor"), fewer); },
               {"tensor \"tokenizer.special_ids\" of the tokenizer is missing"});
}

TEST(WordPiece, DamagedTablesAreFound) {
  auto attachments = load_tokenizer(test::golden_path("bert-tiny/tokenizer.json"))->attachments();
  const TempDir dir;
  auto& index = attachments.tensors.at(2);
  ASSERT_EQ(index.name, "tokenizer.token_index");
  std::fill(index.data.begin(), index.data.begin() + 64, uint8_t{7});
  test::write_model_with(dir.file("m.rotor"), attachments);
  const auto faults = RotorFile(dir.file("m.rotor")).verify();
  ASSERT_FALSE(faults.empty());
  EXPECT_NE(faults.front().find("tokenizer.token_index"), std::string::npos) << faults.front();
}

}  // namespace
}  // namespace rotor::text
