// SentencePiece models trained here: text comes back exactly, training is the same every time, and what
// cannot be trained is said.
#include "rotor/text/train_sentencepiece.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "rotor/core/error.h"
#include "rotor/text/sentencepiece_tokenizer.h"
#include "rotor/text/stream_decoder.h"
#include "tests/support/golden.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tokenizers.h"

namespace rotor::text {
namespace {

using test::expect_error;
using test::TempDir;

NextText once(const std::string& text) {
  return [text, done = false](std::string& next) mutable {
    next = text;
    return !std::exchange(done, true);
  };
}

class TrainSentencePiece : public ::testing::TestWithParam<const char*> {
 protected:
  SentencePieceOptions options() const {
    return {.model_type = GetParam(), .vocab_size = std::string(GetParam()) == "char" ? 0 : 370};
  }
  const std::string text_ = test::random_prose(60'000);
};

std::string type_name(const ::testing::TestParamInfo<const char*>& type) {
  return type.param;
}

INSTANTIATE_TEST_SUITE_P(Types, TrainSentencePiece, ::testing::Values("unigram", "bpe", "char"), type_name);

TEST_P(TrainSentencePiece, EveryTextComesBack) {
  const SentencePieceTokenizer tokenizer(train_sentencepiece(options(), once(text_)), "trained");
  EXPECT_EQ(tokenizer.bos(), 1);
  EXPECT_EQ(tokenizer.eos(), 2);
  if (options().vocab_size > 0) {
    EXPECT_EQ(tokenizer.vocab_size(), options().vocab_size);
  }
  const auto expect_same = [&](const std::string& text) {
    const auto ids = tokenizer.encode(text, SpecialTokens::as_text);
    EXPECT_EQ(tokenizer.decode(ids), text);
    StreamDecoder decoder(tokenizer);
    std::string streamed;
    for (const TokenId id : ids) streamed += decoder.push(id);
    EXPECT_EQ(streamed + decoder.finish(), text);
    for (const TokenId id : ids) EXPECT_NE(id, 0) << text;
  };
  expect_same(text_.substr(0, 20'000));
  for (const char* text : {"",
                           " ",
                           "  ",
                           "\n",
                           "\n\n",
                           "\t",
                           " a",
                           "a ",
                           "  a  b  ",
                           "a\n\nb\n",
                           "\n \n\t\n",
                           "\r\n",
                           "a\tb",
                           "<s></s><unk><0x41>",
                           "\xEF\xBB\xBF",
                           "\xEF\xBF\xBD",
                           "\xC2\xA0",
                           "\xE2\x80\x83",
                           "\xEF\xAC\x81",
                           "e\xCC\x81",
                           "\xF0\x9F\x98\x80",
                           "word\xE2\x96\x85"}) {
    expect_same(text);
  }
  expect_same(std::string("a\0b\0", 4));
  test::Random random;
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (int64_t i = random.integer(0, 30); i > 0; --i) {
      const int64_t top =
          std::vector<int64_t>{0x7F, 0x7FF, 0xFFFF, 0x10FFFF}[static_cast<size_t>(random.integer(0, 3))];
      const auto point = static_cast<uint32_t>(random.integer(0, top));
      if ((point < 0xD800 || point > 0xDFFF) && point != 0x2581) text += test::code_point(point);
    }
    expect_same(text);
  }
  // The one exception: the symbol by which pieces write a space.
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("a\xE2\x96\x81"
                                              "b",
                                              SpecialTokens::as_text)),
            "a b");
}

TEST_P(TrainSentencePiece, IsTheSameEveryTime) {
  SentencePieceOptions sampled = options();
  sampled.max_sentences = 400;
  const std::string first = train_sentencepiece(sampled, once(text_));
  EXPECT_EQ(train_sentencepiece(sampled, once(text_)), first);
  const TempDir dir;  // lines from files are the same texts
  test::write_bytes(dir.file("a"), text_.substr(0, text_.find('\n', 30'000) + 1));
  test::write_bytes(dir.file("empty"), "");
  test::write_bytes(dir.file("b"), text_.substr(text_.find('\n', 30'000) + 1));
  const std::vector<std::string> files = {dir.file("a"), dir.file("empty"), dir.file("b")};
  train_sentencepiece(sampled, read_lines(files), dir.file("tokenizer.model"));
  EXPECT_EQ(test::read_bytes(dir.file("tokenizer.model")), first);
  sampled.seed = 2;
  EXPECT_NE(train_sentencepiece(sampled, once(text_)), first);
}

TEST_P(TrainSentencePiece, WithoutByteFallbackUnknownCharactersAreUnknown) {
  SentencePieceOptions without = options();
  without.byte_fallback = false;
  without.vocab_size /= 3;
  const SentencePieceTokenizer tokenizer(train_sentencepiece(without, once(text_)), "trained");
  const std::string known = "the sea\n\n\tthe end";
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(known, SpecialTokens::as_text)), known);
  EXPECT_EQ(tokenizer.encode("\xE6\xBC\xA2", SpecialTokens::as_text), std::vector<TokenId>{0});
}

TEST(TrainSentencePieceErrors, SayWhatToChange) {
  const std::string text = "the cat sat on the mat\nand the dog sat too\n";
  const auto expect_bad = [&](const SentencePieceOptions& options, const std::vector<std::string>& parts) {
    expect_error([&] { static_cast<void>(train_sentencepiece(options, once(text))); }, parts);
  };
  expect_bad({.model_type = "word", .vocab_size = 300}, {"model_type", "unigram, bpe or char", "word"});
  for (const char* type : {"unigram", "bpe"}) {
    expect_bad({.model_type = type}, {"vocab_size", "found 0"});
    expect_bad({.model_type = type, .vocab_size = 9000}, {"vocab_size: expected at most", "found 9000"});
    expect_bad({.model_type = type, .vocab_size = 100}, {"vocab_size: expected at least", "found 100"});
  }
  // What it says does work.
  try {
    static_cast<void>(train_sentencepiece({.model_type = "bpe", .vocab_size = 9000}, once(text)));
  } catch (const Error& e) {
    const std::string message = e.what();
    const int64_t most = std::stoll(message.substr(message.find("most ") + 5));
    EXPECT_FALSE(train_sentencepiece({.model_type = "bpe", .vocab_size = most}, once(text)).empty());
  }
  expect_bad({.vocab_size = 300, .character_coverage = 0.5}, {"character_coverage", "0.98 to 1", "0.5"});
  expect_bad({.vocab_size = 300, .max_sentences = 0}, {"max_sentences"});
  for (const char* nothing : {"", "\n\n\n"}) {
    expect_error([&] { static_cast<void>(train_sentencepiece({.vocab_size = 300}, once(nothing))); },
                 {"empty"});
  }
  const TempDir dir;
  expect_error(
      [&] { static_cast<void>(train_sentencepiece({.vocab_size = 300}, read_lines({dir.file("none")}))); },
      {dir.file("none")});
  test::write_bytes(dir.file("tokenizer.model"), "old");
  expect_error([&] { train_sentencepiece({.vocab_size = 9000}, once(text), dir.file("tokenizer.model")); },
               {"vocab_size"});
  EXPECT_EQ(test::read_bytes(dir.file("tokenizer.model")), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1)
      << "a temporary file is left";
}

TEST(TrainSentencePieceTexts, OddOnesAreLearntFrom) {
  // Lines longer than the library takes, with and without spaces; tabs, NUL and bytes that are no UTF-8.
  std::string text = std::string("a\0b\tc \xFF\xE2\x96\x85 d\r\n", 14);
  for (int i = 0; i < 2000; ++i) text += "lengthy words ";
  text += "\n";
  for (int i = 0; i < 5000; ++i) text += "\xC3\xA9";
  const SentencePieceTokenizer tokenizer(
      train_sentencepiece({.model_type = "bpe", .vocab_size = 290}, once(text)), "trained");
  EXPECT_LE(tokenizer.encode("lengthy words", SpecialTokens::as_text).size(), 4U);
  EXPECT_EQ(tokenizer.encode("\xC3\xA9", SpecialTokens::as_text).size(), 1U) << "the long line was left out";
}

}  // namespace
}  // namespace rotor::text
