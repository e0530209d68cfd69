// Tokenizer files made to do harm: what fuzzing found, and what it would have needed longer for. Each gives
// an Error or works, within the memory and time that a file of its size may cost.
#include <gtest/gtest.h>

#include <cstring>

#include "rotor/formats/bpe_tables.h"
#include "rotor/formats/json.h"
#include "rotor/text/splitter.h"
#include "rotor/text/tokenizer.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiktoken.h"
#include "tests/support/tokenizers.h"

namespace rotor::text {
namespace {

using test::expect_error;

class HostileTokenizerTest : public ::testing::Test {
 protected:
  std::unique_ptr<Tokenizer> load(const std::string& contents) const {
    test::write_bytes(path_, contents);
    return load_tokenizer(path_);
  }
  void expect_refused(const std::string& contents, const std::vector<std::string>& parts) const {
    expect_error([&] { static_cast<void>(load(contents)); }, parts);
  }

  test::TempDir dir_;
  std::string path_ = dir_.file("tokenizer");
};

/// A tokenizer.json with one token and one special token, of these ids.
std::string json_with_ids(const std::string& id, const std::string& added) {
  return R"({"model": {"type": "BPE", "vocab": {"a": )" + id +
         R"(}, "merges": []}, "added_tokens": [{"content": "<x>", "id": )" + added +
         R"(}], "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex":)"
         R"( "a"}}, {"type": "ByteLevel", "use_regex": false, "add_prefix_space": false}]}})";
}

TEST_F(HostileTokenizerTest, AnIdIsAnInteger) {
  expect_refused(json_with_ids("1e300", "1"), {"token id", "an integer", "1e+300"});
  expect_refused(json_with_ids("0", "2.5e105"), {"token id", "an integer", "2.5e+105"});
}

TEST_F(HostileTokenizerTest, AFarIdDoesNotMakeATableOfThatSize) {
  EXPECT_EQ(load(test::byte_ranks() + "cXE= 300\n")->vocab_size(), 301);
  expect_refused(test::byte_ranks() + "cXE= 16000000\n", {"token id", "found 16000000"});
  expect_refused(json_with_ids("300", "301"), {"single byte 0"});
  expect_refused(json_with_ids("16000000", "0"), {"token id", "found 16000000"});
  expect_refused(json_with_ids("0", "16000000"), {"token id", "found 16000000"});
}

TEST_F(HostileTokenizerTest, ALongTokenDoesNotTakeTheSquareOfItsLength) {
  // Trying each of its cuts by the hashes of both parts would take a quarter of an hour.
  const auto tokenizer = load(test::byte_ranks() + test::base64(std::string(4'000'000, 'q')) + " 256\n");
  EXPECT_EQ(tokenizer->encode("qqq", SpecialTokens::as_text), (std::vector<TokenId>{'q', 'q', 'q'}));
}

TEST_F(HostileTokenizerTest, TokensOfOneLetterDoNotMakeAMergeAByte) {
  std::string ranks = test::byte_ranks();
  for (size_t length = 2; length < 1500; ++length)
    ranks += test::base64(std::string(length, 'q')) + " " + std::to_string(254 + length) + "\n";
  expect_refused(ranks, {path_, "made of one another"});
}

TEST_F(HostileTokenizerTest, KeysThatCollideDoNotMakeATableWithoutEnd) {
  // left << 32 | right, times an odd number, gives the hash; its inverse gives keys of a chosen hash.
  constexpr uint64_t kFactor = 0x9E3779B97F4A7C15U;
  uint64_t inverse = kFactor;
  for (int i = 0; i < 5; ++i) inverse *= 2 - kFactor * inverse;  // Newton, modulo 2^64
  ASSERT_EQ(kFactor * inverse, 1U);
  std::vector<BpeMerge> merges;
  for (uint32_t rank = 0; rank < 1000; ++rank) {
    const uint64_t key = (uint64_t{0x12345678} << 32 | rank) * inverse;
    merges.push_back({static_cast<uint32_t>(key >> 32), static_cast<uint32_t>(key), rank, rank});
  }
  EXPECT_FALSE(build_merge_table(std::span(merges).first(BpeTables::kMaxProbes)).empty());
  expect_error([&] { static_cast<void>(build_merge_table(merges)); }, {"1000 keys", "hash"});
}

/// The pieces of a text; at most 100.
std::vector<std::string> pieces(const std::string& pattern, std::string_view text) {
  std::vector<std::string> result;
  Splitter(pattern).split(text, [&](std::string_view piece) {
    if (result.size() == 100) fail("pieces without end");
    result.emplace_back(piece);
  });
  return result;
}

TEST(HostileSplitPattern, EveryMatchGoesOn) {
  EXPECT_EQ(pieces(R"(a\Kb|.)", "abc"), (std::vector<std::string>{"a", "b", "c"}));
  // \K in a group that a look-behind calls sets the start of the match before the end of the last one.
  for (const char* pattern : {R"((?(DEFINE)(?<k>\K))(?<=(?&k)a)|a)", R"((?(DEFINE)(?<k>\K))(?=a(?&k)))",
                              R"((?(DEFINE)(?<k>a\K))(?=(?&k)))", R"((?<=(\Ka)))"}) {
    std::string joined;
    try {
      for (const std::string& piece : pieces(pattern, "aaab")) joined += piece;
      EXPECT_EQ(joined, "aaab") << pattern;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("split pattern"), std::string::npos)
          << pattern << ": " << e.what();
    }
  }
}

TEST(HostileSplitPattern, CharactersAreNotTornApart) {
  expect_error([] { static_cast<void>(pieces(R"(\C)", "\xC3\xA9")); }, {"split pattern", "\\C"});
}

TEST(HostileSplitPattern, BacktrackingIsBounded) {
  // Each of 40 starts may take 2^22 steps and fail at the end.
  std::string text;
  for (int i = 0; i < 40; ++i) text += std::string(22, 'a') + "c";
  text += "b";
  expect_error([&] { static_cast<void>(pieces("(a+)+b", text)); }, {"split pattern", "match"});
  expect_error([&] { static_cast<void>(pieces("(*NO_JIT)(a+)+b", text)); }, {"split pattern", "match"});
  EXPECT_EQ(
      pieces(R"(\p{L}+|\s+(?!\S)|\s+)", std::string(1'000'000, 'a') + std::string(1'000'000, ' ')).size(),
      2U);
}

/// A serialized field of protobuf: texts and messages.
std::string field(int number, std::string_view contents) {
  std::string bytes(1, static_cast<char>(number << 3 | 2));
  for (size_t size = contents.size(); true; size >>= 7) {
    bytes.push_back(static_cast<char>((size & 0x7F) | (size >= 0x80 ? 0x80 : 0)));
    if (size < 0x80) break;
  }
  return bytes + std::string(contents);
}

/// A piece of kind `kind` (2: unknown).
std::string piece(std::string_view text, int kind) {
  return field(1, field(1, text) + std::string("\x15\0\0\x80\xBF\x18", 6) + static_cast<char>(kind));
}

/// Rules of one block of units: "a" has a result at `result`, and leads to the block itself at `next`.
std::string charsmap(uint32_t result, uint32_t next, const std::string& results) {
  constexpr uint32_t kBlock = 256;
  std::vector<uint32_t> units(2 * kBlock, 0x80000000);
  const auto offset = [](uint32_t from, uint32_t to) { return (from ^ to) << 10; };
  units[0] = offset(0, 1);
  units[1 ^ 'a'] = 'a' | 0x100 | offset(1 ^ 'a', next);
  if (next < units.size()) units[next] = 0x80000000 | result;
  const auto bytes = static_cast<uint32_t>(units.size() * sizeof(uint32_t));
  return std::string(reinterpret_cast<const char*>(&bytes), sizeof(bytes)) +
         std::string(reinterpret_cast<const char*>(units.data()), bytes) + results;
}

std::string sentencepiece(const std::string& rules, int normalizer = 3) {
  return piece("<unk>", 2) + piece("b", 1) + piece("\xE2\x96\x81", 1) + field(normalizer, field(2, rules));
}

TEST_F(HostileTokenizerTest, RulesOfANormalizerStayInTheirTables) {
  const std::string results("\0b\0", 3);
  const auto tokenizer = load(sentencepiece(charsmap(1, 256, results)));
  EXPECT_EQ(tokenizer->encode("aa", SpecialTokens::as_text), (std::vector<TokenId>{2, 1, 1}));
  for (const int normalizer : {3, 5}) {  // 5: of decoding
    const auto refused = [&](const std::string& rules, const char* part) {
      expect_refused(sentencepiece(rules, normalizer),
                     {path_, "not a SentencePiece model", "normalizer", part});
    };
    refused(charsmap(1 << 20, 256, results), "behind the rules");
    refused(charsmap(1, 256, std::string("\0bbb", 4)), "without an end");
    refused(charsmap(1, 256, "." + std::string(2000, 'b') + '\0'), "more than 1024 bytes");
    refused(charsmap(1, 1 << 20, results), "leaves the double array");
    refused(charsmap(1, 1, results), "circle");
    refused("rules", "double array");
    refused(std::string(20, '\0'), "double array");
  }
  // What hides rules from one parser and not from another is no model.
  expect_refused(sentencepiece(results) + "\x0B", {path_, "not a SentencePiece model", "message"});
  // A parser of 32-bit tags takes this one for that of the normalizer.
  expect_refused(sentencepiece("") + std::string("\x9A\x80\x80\x80\x10\x00", 6),
                 {path_, "not a SentencePiece model", "message"});
}

TEST_F(HostileTokenizerTest, WhatTheLibraryThrowsIsAnError) {
  expect_refused(sentencepiece("") + piece(std::string("\0b", 2), 1), {path_, "not a SentencePiece model"});
}

}  // namespace
}  // namespace rotor::text
