// The encoder against Google's library, for every kind of model that the library trains.
#include "rotor/text/sentencepiece_encoder.h"

#include <gtest/gtest.h>
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <array>
#include <cstring>
#include <map>
#include <unordered_map>

#include "rotor/text/sentencepiece_tokenizer.h"
#include "tests/support/golden.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tokenizers.h"

namespace rotor::text {
namespace {

using Arguments = std::unordered_map<std::string, std::string>;

/// Models by what makes them differ; the library's default is nmt_nfkc with dummy prefix and without extra
/// spaces.
const std::map<std::string, Arguments> kModels = {
    {"unigram", {{"model_type", "unigram"}, {"vocab_size", "150"}}},
    {"bpe", {{"model_type", "bpe"}, {"vocab_size", "150"}}},
    {"char", {{"model_type", "char"}, {"vocab_size", "60"}}},
    {"unigram_bytes_casefold_user_symbols",
     {{"model_type", "unigram"},
      {"vocab_size", "400"},
      {"byte_fallback", "true"},
      {"normalization_rule_name", "nmt_nfkc_cf"},
      {"user_defined_symbols", "the,<sep>,aa, x,\xC3\xA9"}}},
    {"bpe_bytes_identity",
     {{"model_type", "bpe"},
      {"vocab_size", "400"},
      {"byte_fallback", "true"},
      {"normalization_rule_name", "identity"},
      {"add_dummy_prefix", "false"},
      {"remove_extra_whitespaces", "false"},
      {"user_defined_symbols", "\n,\t"}}},
    {"unigram_bytes_identity",
     {{"model_type", "unigram"},
      {"vocab_size", "350"},
      {"byte_fallback", "true"},
      {"normalization_rule_name", "identity"},
      {"add_dummy_prefix", "false"},
      {"remove_extra_whitespaces", "false"},
      {"user_defined_symbols", "\n,\t"}}},
    {"unigram_across_words",
     {{"model_type", "unigram"},
      {"vocab_size", "400"},
      {"split_by_whitespace", "false"},
      {"remove_extra_whitespaces", "false"}}},
    {"bpe_across_words",
     {{"model_type", "bpe"},
      {"vocab_size", "200"},
      {"split_by_whitespace", "false"},
      {"user_defined_symbols", "the,<sep>,aa"}}},
    {"unigram_suffix",
     {{"model_type", "unigram"},
      {"vocab_size", "150"},
      {"treat_whitespace_as_suffix", "true"},
      {"control_symbols", "a,<ctl>"}}},
    {"bpe_suffix_spaces",
     {{"model_type", "bpe"},
      {"vocab_size", "150"},
      {"treat_whitespace_as_suffix", "true"},
      {"allow_whitespace_only_pieces", "true"},
      {"remove_extra_whitespaces", "false"}}}};

std::string train(Arguments arguments) {
  const test::TempDir dir;
  test::write_bytes(dir.file("text"), test::random_prose(40'000));
  arguments.insert({{"input", dir.file("text")},
                    {"minloglevel", "2"},
                    {"num_threads", "1"},
                    {"hard_vocab_limit", "false"}});  // as many pieces as this text gives
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(arguments, nullptr, &model);
  EXPECT_TRUE(status.ok()) << status.ToString();
  return model;
}

/// Of our encoder and the library.
class Pair {
 public:
  explicit Pair(const std::string& model)
      : ours_(SentencePieceEncoder::make(read_sentencepiece_model(model))), is_fast_(is_fast(model)) {
    EXPECT_TRUE(library_.LoadFromSerializedProto(model).ok());
  }

  bool is_ours() const { return ours_ != nullptr && is_fast_; }
  void expect_equal(std::string_view text) const {
    std::vector<int> expected;
    ASSERT_TRUE(library_.Encode({text.data(), text.size()}, &expected).ok());
    EXPECT_EQ(ours_->encode(text), std::vector<TokenId>(expected.begin(), expected.end()))
        << text.substr(0, 200);
  }
  const SentencePieceEncoder& ours() const { return *ours_; }

 private:
  static bool is_fast(const std::string& model) { return SentencePieceTokenizer(model, "trained").is_fast(); }

  std::unique_ptr<const SentencePieceEncoder> ours_;
  sentencepiece::SentencePieceProcessor library_;
  bool is_fast_;
};

class SentencePieceEncoderTest : public ::testing::TestWithParam<std::string> {
 protected:
  const std::string model_ = train(kModels.at(GetParam()));
};

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const auto& [name, arguments] : kModels) names.push_back(name);
  return names;
}
std::string model_name(const ::testing::TestParamInfo<std::string>& name) {
  return name.param;
}
INSTANTIATE_TEST_SUITE_P(Models, SentencePieceEncoderTest, ::testing::ValuesIn(model_names()), model_name);

TEST_P(SentencePieceEncoderTest, EqualsTheLibrary) {
  const Pair pair(model_);
  ASSERT_TRUE(pair.is_ours());
  pair.expect_equal(test::random_prose(150'000));
  const std::string path = test::shared_path("data/prose/classic-prose.txt");
  if (!path.empty()) pair.expect_equal(test::read_bytes(path).substr(0, 200'000));
  const std::vector<std::string> parts = {" ",
                                          "  ",
                                          "\n",
                                          "\t",
                                          "the",
                                          "a",
                                          "aa",
                                          "Word",
                                          ",",
                                          "1",
                                          "\xE2\x96\x81",
                                          "\xC3\xA9",
                                          "e\xCC\x81",
                                          "\r",
                                          "<s>",
                                          "<unk>",
                                          "</s>",
                                          "<0x41>",
                                          "<sep>",
                                          "<ctl>",
                                          " x",
                                          "--",
                                          "\x7F",
                                          std::string(1, '\0'),
                                          "\xCC\x81",      // a mark that joins the letter before it
                                          "\xEF\xBC\xA1",  // a full-width letter
                                          "\xEF\xAC\x81",  // a ligature
                                          "\xC2\xA0",      // spaces
                                          "\xE3\x80\x80",  //
                                          "\xE2\x80\x8B",  // of no width
                                          "\xF0\x9F\x98\x80",
                                          "\xE6\xBC\xA2",
                                          "\xE1\x84\x80\xE1\x85\xA1",
                                          "\xFF",
                                          "\xC3",
                                          "\xE2\x96"};
  test::Random random;
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (int64_t i = random.integer(0, 20); i > 0; --i)
      text += parts[static_cast<size_t>(random.integer(0, static_cast<int64_t>(parts.size()) - 1))];
    pair.expect_equal(text);
  }
}

TEST_P(SentencePieceEncoderTest, HostileTextTakesNoMoreThanItsLength) {
  const Pair pair(model_);
  for (const char* unit :
       {"a", " ", "\n", "7", "\xF0\x9F\x98\x80", "\xC3", "ab", "e\xCC\x81", "\xE2\x96\x81"}) {
    std::string text;
    while (text.size() < 3'000) text += unit;
    pair.expect_equal(text);
    // The square of this would be minutes.
    while (text.size() < 1'000'000) text += text;
    EXPECT_LE(pair.ours().encode(text).size(), 3 * text.size() + 2);  // bytes of U+FFFD
  }
}

TEST(SentencePieceEncoder, NormalizesEveryCharacterAsTheLibrary) {
  const Pair pair(train(kModels.at("unigram_bytes_casefold_user_symbols")));
  for (uint32_t point = 1; point < 0x110000;
       point += point < 0x3400 || (point >= 0xF900 && point < 0x10000) ? 1 : 37) {
    if (point >= 0xD800 && point < 0xE000) continue;
    const std::string character = test::code_point(point);
    pair.expect_equal("a" + character + " " + character + character + "b");
  }
}

/// The model with one more piece (below 10 bytes): a field of its own at the end of the message.
std::string with_piece(const std::string& model, const std::string& text, float score, char kind) {
  std::array<char, sizeof(float)> bits;
  std::memcpy(bits.data(), &score, sizeof(float));
  const std::string piece = "\x0A" + std::string(1, static_cast<char>(text.size())) + text + "\x15" +
                            std::string(bits.data(), bits.size()) + "\x18" + kind;
  return model + "\x0A" + std::string(1, static_cast<char>(piece.size())) + piece;
}

TEST(SentencePieceEncoder, BreaksTiesAsTheLibrary) {
  for (const char* type : {"unigram", "bpe"}) {
    std::string model = train(kModels.at(type));
    for (const char* piece : {"q", "qq", "z", "qz", "zq", "qqz"}) {
      model = with_piece(model, piece, std::string(piece).size() == 2 ? -2.0F : -1.0F, '\x01');
    }
    const Pair pair(model);
    ASSERT_TRUE(pair.is_ours());
    test::Random random;
    for (int round = 0; round < 1000; ++round) {
      std::string text;
      for (int64_t length = random.integer(0, 12); length > 0; --length)
        text.push_back("qqz "[random.integer(0, 3)]);
      pair.expect_equal(text);
    }
  }
}

TEST(SentencePieceEncoder, LeavesToTheLibraryWhatItCannotPromise) {
  const std::string word = train({{"model_type", "word"}, {"vocab_size", "40"}});
  EXPECT_FALSE(Pair(word).is_ours());
  const std::string bpe = train(kModels.at("bpe"));
  const std::string unused = with_piece(bpe, "qq", 0.0F, '\x05');
  EXPECT_EQ(read_sentencepiece_model(unused).pieces.size(), read_sentencepiece_model(bpe).pieces.size() + 1);
  EXPECT_FALSE(Pair(unused).is_ours());
  const SentencePieceTokenizer tokenizer(unused, "unused");
  EXPECT_FALSE(tokenizer.encode("the sea", SpecialTokens::as_text).empty());
}

TEST(SentencePieceEncoder, DamagedModelsAreHarmless) {
  test::Random random;
  for (const char* name : {"unigram", "bpe_bytes_identity", "char"}) {
    const std::string good = train(kModels.at(name));
    for (int round = 0; round < 60; ++round) {
      std::string bytes = good;
      for (int64_t flips = random.integer(1, 40); flips > 0; --flips) {
        char& byte = bytes[static_cast<size_t>(random.integer(0, static_cast<int64_t>(bytes.size()) - 1))];
        byte = static_cast<char>(random.integer(0, 255));
      }
      if (round % 3 == 0)
        bytes.resize(static_cast<size_t>(random.integer(0, static_cast<int64_t>(bytes.size()))));
      const auto encoder = SentencePieceEncoder::make(read_sentencepiece_model(bytes));
      if (encoder != nullptr)
        static_cast<void>(encoder->encode("  The sea, e\xCC\x81 \xEF\xBC\xA1\xFF\n the end "));
    }
  }
}

TEST(PieceTrie, FindsKeysAndNothingElse) {
  test::Random random;
  std::map<std::string, int32_t> keys;
  for (int32_t i = 0; i < 3000; ++i) {
    std::string key;
    const int64_t top = i % 2 == 0 ? 3 : 255;
    for (int64_t length = random.integer(1, 6); length > 0; --length)
      key.push_back(static_cast<char>(random.integer(0, top)));
    keys.emplace(key, i);
  }
  const PieceTrie trie({keys.begin(), keys.end()});
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    const int64_t top = round % 2 == 0 ? 3 : 255;
    for (int64_t length = random.integer(0, 8); length > 0; --length)
      text.push_back(static_cast<char>(random.integer(0, top)));
    size_t longest = 0;
    uint32_t node = PieceTrie::kRoot;
    for (size_t length = 1; length <= text.size(); ++length) {
      const auto key = keys.find(text.substr(0, length));
      if (key != keys.end()) longest = length;
      if (node != PieceTrie::kNone) node = trie.child(node, static_cast<uint8_t>(text[length - 1]));
      EXPECT_EQ(node == PieceTrie::kNone ? -1 : trie.value(node), key == keys.end() ? -1 : key->second);
    }
    EXPECT_EQ(trie.longest_prefix(text), longest);
  }
  EXPECT_EQ(PieceTrie({}).longest_prefix("a"), 0U);
}

}  // namespace
}  // namespace rotor::text
