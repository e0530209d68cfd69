// Tokenizers against the ids that other implementations gave for 60 hard strings (tests/golden/tokenizers),
// and small ones made here against brute force.
#include "rotor/text/tokenizer.h"

#include <gtest/gtest.h>
#include <sentencepiece_processor.h>

#include <algorithm>

#include "rotor/core/error.h"
#include "rotor/formats/atomic_file.h"
#include "rotor/formats/checksum.h"
#include "rotor/text/bpe_loader.h"
#include "rotor/text/stream_decoder.h"
#include "tests/support/golden.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tokenizers.h"

namespace rotor::text {
namespace {

using test::expect_error;
using test::expect_llama2;
using test::expect_llama3;
using test::small_bpe;
using test::TempDir;

TEST(Llama3Tokenizer, TiktokenFileAgreesWithGolden) {
  const std::string path = test::shared_path("data/tokenizers/llama3-tokenizer.model");
  if (path.empty()) GTEST_SKIP() << "no shared data here: Llama 3's tokenizer is not on this machine";
  const auto tokenizer = load_tokenizer(path);
  expect_llama3(*tokenizer);

  // Any bytes survive, valid UTF-8 or not.
  test::Random random;
  for (int round = 0; round < 50; ++round) {
    std::string text;
    for (const int8_t b : random.bytes(static_cast<size_t>(random.integer(0, 300))))
      text.push_back(static_cast<char>(b));
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text, SpecialTokens::as_text)), text);
  }
  // Hostile input: time must grow with its length, not with its square (which would be days here).
  for (const char* unit : {"a", " ", "\n", "7", "!", "\xF0\x9F\x98\x80", "\xC3", "ab", "' "}) {
    std::string text;
    while (text.size() < 1'000'000) text += unit;
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text, SpecialTokens::parse)), text) << unit;
  }
}

TEST(Llama3Tokenizer, TokenizerJsonAgreesWithGolden) {
  const TempDir dir;
  const std::string path = test::llama3_tokenizer_json(dir.path());
  if (path.empty()) GTEST_SKIP() << "no shared data here: Llama 3's tokenizer is not on this machine";
  expect_llama3(*load_tokenizer(path));
}

TEST(Llama2Tokenizer, AgreesWithGolden) {
  const std::string path = test::shared_path("data/tokenizers/llama2-tokenizer.model");
  if (path.empty()) GTEST_SKIP() << "no shared data here: Llama 2's tokenizer is not on this machine";
  expect_llama2(*load_tokenizer(path));
}

TEST(SentencePiece, ControlTokensAreParsedOnlyWhenAsked) {
  const TempDir dir;
  write_file(dir.file("tokenizer.model"), test::small_sentencepiece());
  const auto tokenizer = load_tokenizer(dir.file("tokenizer.model"));
  const auto text = [&](std::string_view part) { return tokenizer->encode(part, SpecialTokens::as_text); };
  const auto parsed = [&](std::string_view part) { return tokenizer->encode(part, SpecialTokens::parse); };
  const TokenId bos = *tokenizer->bos();
  const TokenId eos = *tokenizer->eos();
  std::vector<TokenId> expected = {bos};
  for (const TokenId id : text("ab")) expected.push_back(id);
  expected.push_back(eos);
  expected.push_back(eos);
  for (const TokenId id : text("c</s")) expected.push_back(id);
  EXPECT_EQ(parsed("<s>ab</s></s>c</s"), expected);
  EXPECT_EQ(parsed("abc"), text("abc"));
  EXPECT_EQ(parsed(""), std::vector<TokenId>());
  // As a text it is characters like any others.
  const auto plain = text("a</s>");
  EXPECT_EQ(std::ranges::count(plain, eos), 0);
  EXPECT_EQ(tokenizer->decode(plain), "a</s>");
}

TEST(Llama2Tokenizer, WordByWordEqualsTheLibraryOnTheWholeText) {
  const std::string path = test::shared_path("data/tokenizers/llama2-tokenizer.model");
  if (path.empty()) GTEST_SKIP() << "no shared data here: Llama 2's tokenizer is not on this machine";
  const auto tokenizer = load_tokenizer(path);
  sentencepiece::SentencePieceProcessor library;
  ASSERT_TRUE(library.Load(path).ok());
  const auto expect_equal = [&](const std::string& text) {
    std::vector<int> expected;
    ASSERT_TRUE(library.Encode(text, &expected).ok());
    EXPECT_EQ(tokenizer->encode(text, SpecialTokens::as_text),
              std::vector<TokenId>(expected.begin(), expected.end()))
        << text.substr(0, 200);
  };
  const std::vector<std::string> parts = {" ",
                                          " ",
                                          "  ",
                                          "\n",
                                          "\t",
                                          "the",
                                          "a",
                                          "Word",
                                          ",",
                                          "1",
                                          "\xE2\x96\x81",
                                          "\xC3\xA9",
                                          "\xF0\x9F\x98\x80",
                                          "\xFF",
                                          "<s>"};
  test::Random random;
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (int64_t i = random.integer(0, 20); i > 0; --i) {
      text += parts[static_cast<size_t>(random.integer(0, static_cast<int64_t>(parts.size()) - 1))];
    }
    expect_equal(text);
  }
  const std::string prose = test::read_bytes(test::shared_path("data/prose/classic-prose.txt"));
  expect_equal(prose.substr(0, 300'000));
}

/// Merges by the definition: the lowest rank of all neighbours, the leftmost of equals, again and again.
std::vector<TokenId> brute_force(const BpeDefinition& definition, const std::string& piece) {
  std::vector<std::string> parts;
  for (const char c : piece) parts.emplace_back(1, c);
  const auto rank = [&](const std::string& token) {
    return std::find(definition.tokens.begin(), definition.tokens.end(), token) - definition.tokens.begin();
  };
  const auto none = static_cast<std::ptrdiff_t>(definition.tokens.size());
  while (parts.size() > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < parts.size(); ++i) {
      if (rank(parts[i] + parts[i + 1]) < rank(parts[best] + parts[best + 1])) best = i;
    }
    if (rank(parts[best] + parts[best + 1]) == none) break;
    parts[best] += parts[best + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
  std::vector<TokenId> ids;
  for (const std::string& part : parts) ids.push_back(static_cast<TokenId>(rank(part)));
  return ids;
}

TEST(ByteLevelBpe, MergesAsTheDefinitionSays) {
  const BpeDefinition definition = small_bpe();
  const ByteLevelBpe bpe(definition);
  test::Random random;
  for (int round = 0; round < 400; ++round) {  // lengths on both sides of the switch to the heap
    std::string piece;
    const int64_t length = random.integer(1, 80);
    for (int64_t i = 0; i < length; ++i) piece.push_back(static_cast<char>('a' + random.integer(0, 2)));
    EXPECT_EQ(bpe.encode(piece, SpecialTokens::as_text), brute_force(definition, piece)) << piece;
  }
}

TEST(ByteLevelBpe, SpecialTokensAreParsedOnlyWhenAsked) {
  const ByteLevelBpe bpe(small_bpe());
  const auto end = static_cast<TokenId>(bpe.vocab_size() - 1);
  EXPECT_EQ(bpe.encode("ab<|end|>ab", SpecialTokens::parse), (std::vector<TokenId>{256, end, 256}));
  const auto as_text = bpe.encode("<|end|>", SpecialTokens::as_text);
  EXPECT_EQ(std::count(as_text.begin(), as_text.end(), end), 0);
  EXPECT_EQ(bpe.decode(as_text), "<|end|>");
  EXPECT_EQ(bpe.decode({{end}}), "<|end|>");
  EXPECT_TRUE(bpe.encode("", SpecialTokens::parse).empty());
}

TEST(ByteLevelBpe, RefusesWhatCannotWork) {
  const ByteLevelBpe bpe(small_bpe());
  expect_error([&] { static_cast<void>(bpe.decode({{-1}})); }, {"token id", "found -1"});
  expect_error([&] { static_cast<void>(bpe.token_bytes(264, false)); }, {"0 to 263", "found 264"});
  BpeDefinition missing = small_bpe();
  missing.tokens[65] = "";
  expect_error([&] { ByteLevelBpe{missing}; }, {"single byte 65"});
  BpeDefinition merge = small_bpe();
  merge.merges = {{97, 98, 999}};
  expect_error([&] { ByteLevelBpe{merge}; }, {"merge 0", "999"});
  merge.merges = {{97, 98, 256}, {98, 97, 256}};
  expect_error([&] { ByteLevelBpe{merge}; }, {"merge 1", "98 and 97 do not make token 256"});
  merge.tokens.emplace_back();
  merge.merges = {{97, 264, 97}};
  expect_error([&] { ByteLevelBpe{merge}; }, {"merge 0", "97 and 264 do not make token 97"});
  BpeDefinition special = small_bpe();
  special.specials[0].first = "<|other|>";
  expect_error([&] { ByteLevelBpe{special}; }, {"<|other|>", "263", "<|end|>"});
  BpeDefinition pattern = small_bpe();
  pattern.split_pattern = "(unclosed";
  expect_error([&] { ByteLevelBpe{pattern}; }, {"split pattern", "(unclosed"});
}

TEST(LoadTokenizer, TakesADirectory) {
  const TempDir dir;
  const auto files = [&](const std::string& name, std::string_view contents) {
    test::write_bytes(dir.file(name), contents);
  };
  expect_error([&] { load_tokenizer(dir.path()); }, {dir.path(), "tokenizer.json", "tokenizer.model"});
  expect_error([&] { tokenizer_hash(dir.path()); }, {dir.path(), "tokenizer.json"});
  files("tokenizer.model", "model");
  EXPECT_EQ(tokenizer_file(dir.path()), dir.file("tokenizer.model"));
  EXPECT_EQ(tokenizer_hash(dir.path()), tokenizer_hash(dir.file("tokenizer.model")));
  expect_error([&] { load_tokenizer(dir.path()); }, {dir.file("tokenizer.model")});
  files("tokenizer.json", "{}");
  EXPECT_EQ(tokenizer_file(dir.path()), dir.file("tokenizer.json"));
  expect_error([&] { load_tokenizer(dir.path()); }, {dir.file("tokenizer.json")});
  EXPECT_EQ(tokenizer_hash(dir.path()), checksum({{'{', '}'}}));
  files("tokenizer.model", test::small_sentencepiece());  // of which tokenizer.json would be a conversion
  EXPECT_EQ(tokenizer_file(dir.path()), dir.file("tokenizer.model"));
  EXPECT_EQ(load_tokenizer(dir.path())->kind(), "sentencepiece");
}

TEST(LoadTokenizer, RefusesBadFiles) {
  const TempDir dir;
  const auto expect_bad = [&](const std::string& contents, const std::vector<std::string>& parts) {
    test::write_bytes(dir.file("t"), contents);
    std::vector<std::string> all = parts;
    all.push_back(dir.file("t"));
    expect_error([&] { load_tokenizer(dir.file("t")); }, all);
  };
  expect_error([&] { load_tokenizer(dir.file("none")); }, {"none", "No such file"});
  expect_bad("", {"empty"});
  expect_bad("  \n", {"empty"});
  expect_bad("not a tokenizer at all", {"SentencePiece"});
  expect_bad("{}", {"not a tokenizer.json"});
  expect_bad("{\"model\": {\"type\": \"Unigram\"}}", {"model.type: expected BPE or WordPiece", "Unigram"});
  expect_bad("{\"a\": 1, \"a\": 2}", {"duplicate key"});
  expect_bad("IQ== 0\nIg== x\n", {":2", "base64"});
  expect_bad("IQ== 0\nIg=== 1\n", {":2"});
  expect_bad("IQ== 0\nIg== 0\n", {"token id 0 stands twice"});
  expect_bad("IQ== 0\nIg== 99999999999\n", {"token id"});
  expect_bad("IQ== 0\nIg== 1\n", {"single byte"});
}

TEST(ValidUtf8Prefix, KnowsTheEdgesOfRfc3629) {
  for (const char* good : {"", "a", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
                           "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_EQ(valid_utf8_prefix(good), std::string(good).size()) << good;
  }
  for (const char* bad : {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF",
                          "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xE2\x82", "\xF0\x9F\x98"}) {
    EXPECT_EQ(valid_utf8_prefix(bad), 0U);
    EXPECT_EQ(valid_utf8_prefix(std::string("ok") + bad), 2U);
  }
}

TEST(StreamDecoder, HoldsBackHalfCharactersAndReplacesBrokenOnes) {
  const ByteLevelBpe bpe(small_bpe());
  StreamDecoder decoder(bpe);
  EXPECT_EQ(decoder.push(0xE2), "");
  EXPECT_EQ(decoder.push(0x82), "");
  EXPECT_EQ(decoder.push(0xAC), "\xE2\x82\xAC");
  EXPECT_EQ(decoder.push(0xE2), "");
  EXPECT_EQ(decoder.push('a'),
            "\xEF\xBF\xBD"
            "a");
  EXPECT_EQ(decoder.push(0xFF), "\xEF\xBF\xBD");
  EXPECT_EQ(decoder.push(0xF0), "");
  EXPECT_EQ(decoder.finish(), "\xEF\xBF\xBD");
  EXPECT_EQ(decoder.finish(), "");
}

}  // namespace
}  // namespace rotor::text
