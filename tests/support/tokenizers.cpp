// Golden ids, and a model of zeros to attach a tokenizer to.
#include "tests/support/tokenizers.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <array>
#include <cstdio>
#include <sstream>

#include "rotor/formats/json.h"
#include "rotor/formats/rotor_file.h"
#include "rotor/text/sentencepiece_model.h"
#include "rotor/text/stream_decoder.h"
#include "tests/support/golden.h"
#include "tests/support/models.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace rotor::test {

using text::SpecialTokens;
using text::TokenId;
using text::Tokenizer;

namespace {

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return bytes;
}

std::vector<Json> golden_lines(const std::string& name) {
  std::istringstream in(read_bytes(golden_path("tokenizers/" + name)));
  std::vector<Json> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(parse_json(line, name));
  return lines;
}

std::string stream(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
  text::StreamDecoder decoder(tokenizer);
  std::string text;
  for (const TokenId id : ids) {
    const std::string piece = decoder.push(id);
    EXPECT_EQ(text::valid_utf8_prefix(piece), piece.size()) << "half a character was given out";
    text += piece;
  }
  return text + decoder.finish();
}

}  // namespace

text::BpeDefinition small_bpe() {
  text::BpeDefinition definition;
  definition.split_pattern = R"(\p{L}+|\s+|[^\p{L}\s]+)";
  for (int byte = 0; byte < 256; ++byte) definition.tokens.emplace_back(1, static_cast<char>(byte));
  for (const char* token : {"ab", "bc", "abc", "aa", "aaaa", "cab", "ba"})
    definition.tokens.emplace_back(token);
  definition.ignore_merges = false;
  definition.specials = {{"<|end|>", static_cast<TokenId>(definition.tokens.size())}};
  definition.tokens.emplace_back("<|end|>");
  return definition;
}

std::string small_sentencepiece(bool add_dummy_prefix) {
  using Kind = text::SentencePieceModel::Kind;
  text::SentencePieceModel model;
  model.type = text::SentencePieceModel::Type::bpe;
  model.byte_fallback = true;
  model.add_dummy_prefix = add_dummy_prefix;
  model.remove_extra_whitespaces = false;
  model.pieces = {{"<unk>", 0, Kind::unknown}, {"<s>", 0, Kind::control}, {"</s>", 0, Kind::control}};
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::array<char, 8> text{};
    std::snprintf(text.data(), text.size(), "<0x%02X>", byte);
    model.pieces.push_back({text.data(), 0, Kind::byte});
  }
  model.pieces.push_back({"\n", 0, Kind::user_defined});
  const std::string space(text::kSpaceSymbol);
  float score = 0;
  for (const std::string& piece :
       {std::string("ab"), space + "a", std::string("bc"), space + "ab", std::string("abc"), space + space,
        space + "abc", space, std::string("a"), std::string("b"), std::string("c")})
    model.pieces.push_back({piece, --score, Kind::normal});
  return write_sentencepiece_model(model);
}

void expect_same_ids(const Tokenizer& tokenizer, const Tokenizer& expected) {
  ASSERT_EQ(tokenizer.kind(), expected.kind());
  ASSERT_EQ(tokenizer.vocab_size(), expected.vocab_size());
  EXPECT_EQ(tokenizer.bos(), expected.bos());
  EXPECT_EQ(tokenizer.eos(), expected.eos());
  static constexpr std::array<const char*, 12> kParts = {"a",       "b",   "c", " ",        "abc",  "\n",
                                                         "<|end|>", "<s>", "7", "\xC3\xA9", "\xFF", "'re"};
  Random random;
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (int64_t i = random.integer(0, 60); i > 0; --i)
      text += kParts[static_cast<size_t>(random.integer(0, kParts.size() - 1))];
    for (const SpecialTokens special : {SpecialTokens::parse, SpecialTokens::as_text}) {
      const auto ids = expected.encode(text, special);
      EXPECT_EQ(tokenizer.encode(text, special), ids) << text;
      EXPECT_EQ(tokenizer.decode(ids), expected.decode(ids));
      EXPECT_EQ(stream(tokenizer, ids), stream(expected, ids));
    }
  }
}

void expect_same_attachments(const Tokenizer& tokenizer, const Tokenizer& expected) {
  const RotorAttachments found = tokenizer.attachments();
  const RotorAttachments wanted = expected.attachments();
  EXPECT_EQ(found.metadata, wanted.metadata);
  ASSERT_EQ(found.tensors.size(), wanted.tensors.size());
  for (size_t i = 0; i < found.tensors.size(); ++i) {
    EXPECT_EQ(found.tensors[i].name, wanted.tensors[i].name);
    EXPECT_EQ(found.tensors[i].shape, wanted.tensors[i].shape);
    EXPECT_TRUE(found.tensors[i].data == wanted.tensors[i].data) << found.tensors[i].name;
  }
}

std::string code_point(uint32_t point) {
  std::string bytes;
  if (point < 0x80) return std::string(1, static_cast<char>(point));
  const int tail = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
  const uint32_t lead = tail == 1 ? 0xC0 : tail == 2 ? 0xE0 : 0xF0;
  bytes.push_back(static_cast<char>(lead | point >> (6 * tail)));
  for (int i = tail - 1; i >= 0; --i) bytes.push_back(static_cast<char>(0x80 | (point >> (6 * i) & 0x3F)));
  return bytes;
}

std::string random_prose(size_t bytes) {
  static constexpr std::array<const char*, 48> kWords = {
      "the",     "and",     "of",    "a",    "sea",     "ship",  "captain", "whale", "he",     "she",
      "it",      "was",     "were",  "had",  "in",      "on",    "under",   "over",  "never",  "again",
      "morning", "night",   "water", "wind", "sailing", "stood", "looking", "great", "little", "old",
      "Ishmael", "Call",    "me",    "said", "there",   "would", "could",   "not",   "seen",   "with",
      "white",   "harbour", "to",    "from", "island",  "year",  "1851",    "end"};
  static constexpr std::array<const char*, 8> kEnds = {" ", " ", " ", " ", ", ", ". ", ".\n", ";\n\n"};
  Random random(11);
  std::string text;
  while (text.size() < bytes) {
    if (text.ends_with('\n') && random.integer(0, 9) == 0) text += random.integer(0, 1) == 0 ? "\t" : "    ";
    text += kWords[static_cast<size_t>(random.integer(0, kWords.size() - 1))];
    text += kEnds[static_cast<size_t>(random.integer(0, kEnds.size() - 1))];
  }
  return text;
}

void expect_llama3(const Tokenizer& tokenizer) {
  EXPECT_EQ(tokenizer.kind(), "byte_level_bpe");
  EXPECT_EQ(tokenizer.vocab_size(), 128256);
  EXPECT_EQ(tokenizer.bos(), 128000);
  EXPECT_EQ(tokenizer.eos(), 128001);
  const auto lines = golden_lines("llama3.jsonl");
  ASSERT_EQ(lines.size(), 60U);
  for (const Json& line : lines) {
    SCOPED_TRACE(line["id"]);
    const std::string text = from_hex(line["utf8_hex"]);
    const auto ids = line["ids"].get<std::vector<TokenId>>();
    EXPECT_EQ(tokenizer.encode(text, SpecialTokens::parse), ids);
    EXPECT_EQ(tokenizer.encode(text, SpecialTokens::as_text),
              line["ids_special_as_text"].get<std::vector<TokenId>>());
    EXPECT_EQ(tokenizer.decode(ids), text);
    EXPECT_EQ(stream(tokenizer, ids), text);
  }
}

void expect_llama2(const Tokenizer& tokenizer) {
  EXPECT_EQ(tokenizer.kind(), "sentencepiece");
  EXPECT_EQ(tokenizer.vocab_size(), 32000);
  EXPECT_EQ(tokenizer.bos(), 1);
  EXPECT_EQ(tokenizer.eos(), 2);
  const auto lines = golden_lines("llama2.jsonl");
  ASSERT_EQ(lines.size(), 60U);
  for (const Json& line : lines) {
    SCOPED_TRACE(line["id"]);
    const auto ids = line["ids"].get<std::vector<TokenId>>();
    const auto decoded = line["decoded"].get<std::string>();
    EXPECT_EQ(tokenizer.encode(from_hex(line["utf8_hex"]), SpecialTokens::as_text), ids);
    EXPECT_EQ(tokenizer.decode(ids), decoded);
    EXPECT_EQ(stream(tokenizer, ids), decoded);
  }
  // Control tokens: ids that transformers 5.23's LlamaTokenizer gives with legacy=True.
  const auto parsed = [&](std::string_view text) { return tokenizer.encode(text, SpecialTokens::parse); };
  EXPECT_EQ(parsed("<s>Hello</s>World"), (std::vector<TokenId>{1, 15043, 2, 2787}));
  EXPECT_EQ(parsed("a<s></s>b"), (std::vector<TokenId>{263, 1, 2, 289}));
  EXPECT_EQ(parsed("</s>\nUser: x"), (std::vector<TokenId>{2, 29871, 13, 2659, 29901, 921}));
}

void expect_nfc(const Tokenizer& tokenizer) {
  EXPECT_EQ(tokenizer.kind(), "byte_level_bpe");
  EXPECT_EQ(tokenizer.vocab_size(), 364);
  const auto lines = golden_lines("nfc.jsonl");
  ASSERT_EQ(lines.size(), 49U);
  for (const Json& line : lines) {
    SCOPED_TRACE(line["id"]);
    const auto ids = line["ids"].get<std::vector<TokenId>>();
    const auto decoded = line["decoded"].get<std::string>();
    EXPECT_EQ(tokenizer.encode(from_hex(line["utf8_hex"]), SpecialTokens::parse), ids);
    EXPECT_EQ(tokenizer.decode(ids), decoded);
    EXPECT_EQ(stream(tokenizer, ids), decoded);
  }
}

std::string llama3_tokenizer_json(const std::string& directory) {
  const std::string path = shared_path("data/tokenizers/llama3-tokenizer.json.gz");
  if (path.empty()) return "";
  const gzFile file = gzopen(path.c_str(), "rb");
  std::string contents(10'000'000, '\0');
  contents.resize(static_cast<size_t>(gzread(file, contents.data(), static_cast<unsigned>(contents.size()))));
  gzclose(file);
  write_bytes(directory + "/tokenizer.json", contents);
  return directory + "/tokenizer.json";
}

void write_model_with(const std::string& path, const RotorAttachments& attachments) {
  const ModelConfig config = small_mlp(Activation::relu, Quantization::none);
  RotorWriter writer(path, config, DenseType::f32, attachments);
  for (const TensorSpec& spec : tensor_table(config)) {
    writer.write_floats(spec.name, std::vector<float>(static_cast<size_t>(num_parameters({spec})), 0.5F));
  }
  writer.commit();
}

}  // namespace rotor::test
