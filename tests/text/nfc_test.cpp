// Tokenizers that normalize texts, as Qwen2's, against the ids of Hugging Face tokenizers, in every file that
// holds one, and form C itself: texts that are no UTF-8, texts made to take long.
#include "rotor/text/nfc.h"

#include <gtest/gtest.h>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/formats/rotor_file.h"
#include "rotor/text/bpe_loader.h"
#include "rotor/text/gguf_tokenizer.h"
#include "rotor/text/sentencepiece_tokenizer.h"
#include "rotor/text/tokenizer_files.h"
#include "tests/support/golden.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tokenizers.h"

namespace rotor::text {
namespace {

using test::code_point;
using test::expect_error;
using test::TempDir;

const std::string kAcute = "\xCC\x81";     // U+0301, class 230
const std::string kDotBelow = "\xCC\xA3";  // U+0323, class 220
const std::string kEAcute = "\xC3\xA9";

std::string nfc(const std::string& text) {
  std::string memory;
  return std::string(to_nfc(text, memory));
}

std::string repeated(const std::string& unit, size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) text += unit;
  return text;
}

BpeDefinition golden_definition() {
  const std::string path = test::golden_path("tokenizers/nfc-tokenizer.json");
  return read_tokenizer_json(parse_json(test::read_bytes(path), path), path);
}

BpeDefinition small_nfc_bpe() {
  BpeDefinition definition = test::small_bpe();
  definition.normalize_nfc = true;
  return definition;
}

TEST(NfcTokenizer, GoldenIds) {
  test::expect_nfc(*load_tokenizer(test::golden_path("tokenizers/nfc-tokenizer.json")));
}

TEST(NfcTokenizer, GoldenIdsOutOfEveryFile) {
  const ByteLevelBpe tokenizer(golden_definition());
  const TempDir dir;
  test::write_model_with(dir.file("m.rotor"), tokenizer.attachments());
  EXPECT_EQ(RotorFile(dir.file("m.rotor")).verify(), std::vector<std::string>());
  const auto inside = load_tokenizer(dir.file("m.rotor"));
  test::expect_nfc(*inside);
  test::expect_same_attachments(*inside, tokenizer);
  write_tokenizer_files(dir.path(), *inside, {});
  EXPECT_EQ(read_json_file(dir.file("tokenizer.json"))["normalizer"], (Json{{"type", "NFC"}}));
  test::expect_nfc(*load_tokenizer(dir.file("tokenizer.json")));
}

TEST(NfcTokenizer, GgufFilesHaveNone) {
  const ByteLevelBpe tokenizer(golden_definition());
  const TempDir dir;
  GgufWriter(dir.file("t.gguf"), gguf_tokenizer_values(tokenizer, {}, tokenizer.vocab_size()), {}).commit();
  const auto inside = tokenizer_of(GgufFile(dir.file("t.gguf")));
  EXPECT_FALSE(std::get<BpeDefinition>(inside->definition()).normalize_nfc);
  const auto ids = inside->encode("e" + kAcute, SpecialTokens::as_text);
  EXPECT_EQ(inside->decode(ids), "e" + kAcute);
  EXPECT_EQ(inside->encode(kEAcute, SpecialTokens::as_text),
            tokenizer.encode("e" + kAcute, SpecialTokens::as_text));
}

TEST(NfcTokenizer, ProgramsThatKnowNoNormalizerRefuseTheFile) {
  const TempDir dir;
  const std::string path = dir.file("m.rotor");
  const auto version = [&](const RotorAttachments& attachments) {
    test::write_model_with(path, attachments);
    return RotorFile(path).container().metadata().at("rotor.format_version");
  };
  EXPECT_EQ(version(ByteLevelBpe(test::small_bpe()).attachments()), "1");
  EXPECT_EQ(version({}), "1");
  EXPECT_EQ(version(ByteLevelBpe(small_nfc_bpe()).attachments()), "2");
  // Of version 1 the file would mean other ids to older programs.
  std::string bytes = test::read_bytes(path);
  bytes.replace(bytes.find("\"rotor.format_version\":\"2\""), 26, "\"rotor.format_version\":\"1\"");
  test::write_bytes(path, bytes);
  expect_error([&] { RotorFile{path}; },
               {path, "rotor.format_version", "at least 2", "rotor.tokenizer.normalizer", "found 1"});
}

TEST(NfcTokenizer, OtherNormalizersAreRefused) {
  const TempDir dir;
  const auto expect_refused = [&](RotorAttachments attachments, const std::string& value,
                                  const std::vector<std::string>& parts) {
    attachments.metadata["rotor.tokenizer.normalizer"] = value;
    expect_error([&] { test::write_model_with(dir.file("m.rotor"), attachments); }, parts);
  };
  expect_refused(ByteLevelBpe(small_nfc_bpe()).attachments(), "NFKC",
                 {"m.rotor", "rotor.tokenizer.normalizer", "\"NFC\"", "\"NFKC\""});
  expect_refused({}, "NFC", {"rotor.tokenizer.normalizer", "none without byte-level BPE", "\"NFC\""});
  expect_refused(SentencePieceTokenizer(test::small_sentencepiece(), "small").attachments(), "NFC",
                 {"rotor.tokenizer.normalizer", "none without byte-level BPE"});

  const Json good = read_json_file(test::golden_path("tokenizers/nfc-tokenizer.json"));
  const auto expect_bad_json = [&](const Json& json, std::vector<std::string> parts) {
    test::write_bytes(dir.file("tokenizer.json"), dump_json(json));
    parts.push_back(dir.file("tokenizer.json"));
    expect_error([&] { load_tokenizer(dir.file("tokenizer.json")); }, parts);
  };
  for (const Json& normalizer : {Json{{"type", "NFKC"}}, Json("NFC"), Json::object(), Json{{"type", 7}}}) {
    Json json = good;
    json["normalizer"] = normalizer;
    expect_bad_json(json, {"normalizer: expected null or NFC, found " + quote_json(normalizer)});
  }
  Json json = good;
  json["added_tokens"][3]["normalized"] = true;
  expect_bad_json(json, {"<tool_call>", "normalized", "expected false", "found true"});
  json["normalizer"] = nullptr;  // then it does not matter
  test::write_bytes(dir.file("tokenizer.json"), dump_json(json));
  EXPECT_EQ(load_tokenizer(dir.file("tokenizer.json"))->vocab_size(), 364);
}

TEST(NfcTokenizer, SpecialTokensAreCutOutFirst) {
  const ByteLevelBpe bpe(small_nfc_bpe());
  const auto text_of = [&](const std::string& text, SpecialTokens special) {
    return bpe.decode(bpe.encode(text, special));
  };
  constexpr TokenId kEnd = 263;
  // ">" and U+0338 compose.
  EXPECT_EQ(bpe.encode("<|end|>\xCC\xB8", SpecialTokens::parse), (std::vector<TokenId>{kEnd, 0xCC, 0xB8}));
  EXPECT_EQ(text_of("<|end|>\xCC\xB8", SpecialTokens::as_text), "<|end|\xE2\x89\xAF");
}

TEST(Nfc, WhatIsInFormCStaysWhereItIs) {
  for (const std::string text :
       {"", "a", "plain ASCII\n\x7F", "caf\xC3\xA9 \xC3\xBF\xCB\xBF", "\xC3 \x80\xC0 e"}) {
    std::string memory = "untouched";
    const std::string_view result = to_nfc(text, memory);
    EXPECT_EQ(result, text);
    EXPECT_TRUE(text.empty() || result.data() == text.data()) << "copied";
    EXPECT_EQ(memory, "untouched");
  }
}

TEST(Nfc, BytesThatAreNotUtf8StayAndSeparate) {
  EXPECT_EQ(nfc("e" + kAcute + "\xFF" + "e" + kAcute), kEAcute + "\xFF" + kEAcute);
  EXPECT_EQ(nfc("e\xFF" + kAcute), "e\xFF" + kAcute);
  EXPECT_EQ(nfc("\xE2\x82" + std::string("e") + kAcute), "\xE2\x82" + kEAcute);
  EXPECT_EQ(nfc("e" + kAcute + "\xCC"), kEAcute + "\xCC");
  EXPECT_EQ(nfc("\xED\xA0\x80" + kAcute), "\xED\xA0\x80" + kAcute) << "a surrogate";
  EXPECT_EQ(nfc("\xF4\x90\x80\x80 e" + kAcute), "\xF4\x90\x80\x80 " + kEAcute) << "above U+10FFFF";
  const ByteLevelBpe bpe(small_nfc_bpe());
  test::Random random;
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (int64_t i = random.integer(0, 30); i > 0; --i) {
      switch (random.integer(0, 3)) {
        case 0:
          text.push_back(static_cast<char>(random.integer(0, 255)));
          break;
        case 1:
          text += code_point(static_cast<uint32_t>(random.integer(0x300, 0x345)));
          break;
        case 2:
          text += code_point(static_cast<uint32_t>(random.integer(0xC0, 0x24F)));
          break;
        default:
          text.push_back(static_cast<char>(random.integer(' ', '~')));
      }
    }
    const std::string once = nfc(text);
    EXPECT_EQ(nfc(once), once);
    EXPECT_EQ(bpe.decode(bpe.encode(text, SpecialTokens::as_text)), once);
  }
}

TEST(Nfc, NormalizingEveryCharacterTwiceIsNormalizingItOnce) {
  for (uint32_t point = 0; point <= 0x10FFFF; ++point) {
    if (point >= 0xD800 && point < 0xE000) continue;
    const std::string character = code_point(point);
    const std::string alone = nfc(character);
    ASSERT_LE(alone.size(), 3 * character.size()) << point;  // UAX 15, maximum expansion factors
    ASSERT_EQ(nfc(alone), alone) << point;
    ASSERT_EQ(nfc("\n" + character + "\n"), "\n" + alone + "\n") << point;
  }
}

TEST(Nfc, LongRunsOfMarksTakeNoSquareOfTheirLength) {
  constexpr size_t kMarks = 1'000'000;  // sorting these by swaps of neighbours would take half an hour
  EXPECT_TRUE(nfc(repeated(kAcute, kMarks)) == repeated(kAcute, kMarks));
  EXPECT_TRUE(nfc("e" + repeated(kAcute + kDotBelow, kMarks)) ==
              "\xE1\xBA\xB9" + repeated(kDotBelow, kMarks - 1) + repeated(kAcute, kMarks));
  EXPECT_TRUE(nfc(repeated("\xFF" + kAcute, kMarks)) == repeated("\xFF" + kAcute, kMarks));
  EXPECT_TRUE(nfc(repeated("e" + kAcute, kMarks)) == repeated(kEAcute, kMarks));
  const ByteLevelBpe bpe(golden_definition());
  const std::string text = repeated(kAcute + kDotBelow, kMarks / 4);
  EXPECT_TRUE(bpe.decode(bpe.encode(text, SpecialTokens::parse)) ==
              repeated(kDotBelow, kMarks / 4) + repeated(kAcute, kMarks / 4));
}

}  // namespace
}  // namespace rotor::text
