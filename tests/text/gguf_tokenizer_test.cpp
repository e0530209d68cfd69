// Tokenizers into GGUF metadata and back: the same ids and tables, and every way in which the keys can lie.
// On what is written here llama-tokenize of llama.cpp at c392e50 gave the golden ids of Llama 3 and Llama 2.
#include "rotor/text/gguf_tokenizer.h"
#include "rotor/text/chat_template.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "rotor/core/error.h"
#include "rotor/text/byte_level_bpe.h"
#include "rotor/text/gguf_pre_tokenizers.h"
#include "rotor/text/sentencepiece_model.h"
#include "rotor/text/sentencepiece_tokenizer.h"
#include "rotor/text/train_sentencepiece.h"
#include "tests/support/golden.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tokenizers.h"

namespace rotor::text {
namespace {

using test::expect_error;
using test::TempDir;
using Values = std::vector<std::pair<std::string, GgufValue>>;

/// A file that holds these keys and no tensor.
std::unique_ptr<Tokenizer> through_file(const Values& values) {
  const TempDir dir;
  GgufWriter(dir.file("t.gguf"), values, {}).commit();
  return tokenizer_of(GgufFile(dir.file("t.gguf")));
}

const GgufValue* value_of(const Values& values, const std::string& key) {
  const auto found = std::ranges::find(values, key, &Values::value_type::first);
  return found == values.end() ? nullptr : &found->second;
}

template <class T>
const T& at(const Values& values, const std::string& key) {
  return std::get<T>(*value_of(values, key));
}

template <class T>
T& at(Values& values, const std::string& key) {
  return std::get<T>(std::ranges::find(values, key, &Values::value_type::first)->second);
}

void drop(Values& values, const std::string& key) {
  std::erase_if(values, [&](const auto& entry) { return entry.first == key; });
}

TextMetadata metadata_of(const Tokenizer& tokenizer) {
  return text_metadata("test", tokenizer.attachments().metadata);
}

/// A small BPE with a split pattern that GGUF knows.
BpeDefinition named_bpe(const char* pre_tokenizer = "llama-bpe") {
  BpeDefinition definition = test::small_bpe();
  definition.split_pattern = find_pre_tokenizer(pre_tokenizer)->split_pattern;
  definition.ignore_merges = find_pre_tokenizer(pre_tokenizer)->ignore_merges;
  return definition;
}

Values bpe_values(const TextMetadata& text = {}, int64_t vocab_size = 264) {
  return gguf_tokenizer_values(ByteLevelBpe(named_bpe()), text, vocab_size);
}

Values sentencepiece_values(const TextMetadata& text = {}) {
  const SentencePieceTokenizer tokenizer(test::small_sentencepiece(), "small");
  return gguf_tokenizer_values(tokenizer, text, tokenizer.vocab_size());
}

TEST(GgufTokenizer, GoldenIdsOfLlama3) {
  const std::string path = test::shared_path("data/tokenizers/llama3-tokenizer.model");
  if (path.empty()) GTEST_SKIP() << "no shared data here: Llama 3's tokenizer is not on this machine";
  const TempDir dir;
  const auto published = load_tokenizer(test::llama3_tokenizer_json(dir.path()));
  const Values values = gguf_tokenizer_values(*published, metadata_of(*published), 128256);
  EXPECT_EQ(at<std::string>(values, "tokenizer.ggml.pre"), "llama-bpe");
  EXPECT_EQ(at<std::vector<std::string>>(values, "tokenizer.ggml.merges").size(), 280147U);
  EXPECT_EQ(at<int64_t>(values, "tokenizer.ggml.bos_token_id"), 128000);
  EXPECT_EQ(at<int64_t>(values, "tokenizer.ggml.eos_token_id"), 128001);
  const auto inside = through_file(values);
  test::expect_llama3(*inside);
  test::expect_same_attachments(*inside, *published);
  // The merges that tiktoken's ranks stand for are those that Hugging Face published, in their order.
  const auto ranks = load_tokenizer(path);
  EXPECT_TRUE(gguf_tokenizer_values(*ranks, metadata_of(*ranks), 128256) == values);
}

TEST(GgufTokenizer, GoldenIdsOfLlama2) {
  const std::string path = test::shared_path("data/tokenizers/llama2-tokenizer.model");
  if (path.empty()) GTEST_SKIP() << "no shared data here: Llama 2's tokenizer is not on this machine";
  const auto published = load_tokenizer(path);
  const Values values = gguf_tokenizer_values(*published, metadata_of(*published), 32064);
  const auto& tokens = at<std::vector<std::string>>(values, "tokenizer.ggml.tokens");
  EXPECT_EQ(tokens.size(), 32064U);
  EXPECT_EQ(tokens.back(), "[PAD32063]");
  const auto inside = through_file(values);
  test::expect_llama2(*inside);
  EXPECT_TRUE(gguf_tokenizer_values(*inside, metadata_of(*inside), 32064) == values);
  const auto* fast = dynamic_cast<const SentencePieceTokenizer*>(inside.get());
  EXPECT_TRUE(fast != nullptr && fast->is_fast());
}

TEST(GgufTokenizer, BytesComeBackUnderEveryPreTokenizer) {
  for (const char* name : {"llama-bpe", "smaug-bpe", "qwen2", "gpt-2"}) {
    SCOPED_TRACE(name);
    const ByteLevelBpe bpe(named_bpe(name));
    const Values values = gguf_tokenizer_values(bpe, {}, bpe.vocab_size());
    EXPECT_EQ(at<std::string>(values, "tokenizer.ggml.pre"), name);
    const auto inside = through_file(values);
    test::expect_same_ids(*inside, bpe);
    EXPECT_EQ(inside->attachments().metadata, bpe.attachments().metadata);
    // Given merges have the ranks that they have in the list: the tables are the same from then on.
    test::expect_same_attachments(*through_file(gguf_tokenizer_values(*inside, {}, bpe.vocab_size())),
                                  *inside);
  }
  for (const char* alias : {"llama3", "llama-v3", "falcon3"}) {
    Values values = bpe_values();
    at<std::string>(values, "tokenizer.ggml.pre") = alias;
    test::expect_same_ids(*through_file(values), ByteLevelBpe(named_bpe()));
  }
}

TEST(GgufTokenizer, SplitPatternsCutAsTheirNamesSay) {
  // What tells the patterns apart: three digits or one, contractions in capitals, a space before digits.
  const auto cuts = [](const char* name, const std::string& text) {
    BpeDefinition definition = named_bpe(name);
    definition.ignore_merges = true;  // the pieces themselves are tokens
    for (const char* token : {"123", "12", " 1", " 12", "'RE", "'re"}) definition.tokens.emplace_back(token);
    const ByteLevelBpe bpe(definition);
    return bpe.encode(text, SpecialTokens::as_text).size();
  };
  EXPECT_EQ(cuts("llama-bpe", "123"), 1U);
  EXPECT_EQ(cuts("qwen2", "123"), 3U);
  EXPECT_EQ(cuts("gpt-2", " 12"), 1U);
  EXPECT_EQ(cuts("llama-bpe", " 12"), 2U);
  EXPECT_EQ(cuts("qwen2", "'RE"), 1U);
  EXPECT_EQ(cuts("gpt-2", "'RE"), 3U);
}

TEST(GgufTokenizer, IdsWithoutTokensArePadding) {
  BpeDefinition definition = named_bpe();
  definition.tokens[262] = "";  // "ba"
  const ByteLevelBpe bpe(definition);
  const Values values = gguf_tokenizer_values(bpe, {}, 266);
  const auto& tokens = at<std::vector<std::string>>(values, "tokenizer.ggml.tokens");
  const auto& types = at<std::vector<int32_t>>(values, "tokenizer.ggml.token_type");
  EXPECT_EQ(std::vector(tokens.end() - 4, tokens.end()),
            (std::vector<std::string>{"[PAD262]", "<|end|>", "[PAD264]", "[PAD265]"}));
  EXPECT_EQ(std::vector(types.end() - 5, types.end()), (std::vector<int32_t>{1, 5, 3, 5, 5}));
  test::expect_same_ids(*through_file(values), bpe);

  const SentencePieceTokenizer pieces(test::small_sentencepiece(), "small");
  const Values padded = gguf_tokenizer_values(pieces, {}, 300);
  EXPECT_EQ(at<std::vector<std::string>>(padded, "tokenizer.ggml.tokens").at(299), "[PAD299]");
  EXPECT_EQ(at<std::vector<float>>(padded, "tokenizer.ggml.scores").at(299), -10000.0F);
  test::expect_same_ids(*through_file(padded), pieces);
}

TEST(GgufTokenizer, SpecialIdsAreThoseOfTheModel) {
  TextMetadata text;
  text.stop_tokens = {263, 7};
  text.chat_template = "{% for m in messages %}";
  Values values = bpe_values(text);
  EXPECT_EQ(value_of(values, "tokenizer.ggml.bos_token_id"), nullptr);
  EXPECT_FALSE(at<bool>(values, "tokenizer.ggml.add_bos_token"));
  EXPECT_EQ(at<int64_t>(values, "tokenizer.ggml.eos_token_id"), 263);
  EXPECT_EQ(at<int64_t>(values, "tokenizer.ggml.eot_token_id"), 7);
  EXPECT_EQ(at<std::string>(values, "tokenizer.chat_template"), text.chat_template);
  text.bos_token = 5;
  values = bpe_values(text);
  EXPECT_EQ(at<int64_t>(values, "tokenizer.ggml.bos_token_id"), 5);
  EXPECT_TRUE(at<bool>(values, "tokenizer.ggml.add_bos_token"));
  // Without metadata the tokenizer's own are named, but texts do not begin with one.
  values = sentencepiece_values();
  EXPECT_EQ(at<int64_t>(values, "tokenizer.ggml.unknown_token_id"), 0);
  EXPECT_EQ(at<int64_t>(values, "tokenizer.ggml.bos_token_id"), 1);
  EXPECT_EQ(at<int64_t>(values, "tokenizer.ggml.eos_token_id"), 2);
  EXPECT_EQ(value_of(values, "tokenizer.ggml.padding_token_id"), nullptr);
  EXPECT_FALSE(at<bool>(values, "tokenizer.ggml.add_bos_token"));
}

TEST(GgufTokenizer, TextMetadataComeBack) {
  const auto read = [](const Values& values) {
    const TempDir dir;
    GgufWriter(dir.file("t.gguf"), values, {}).commit();
    return gguf_text_metadata(GgufFile(dir.file("t.gguf")));
  };
  TextMetadata text;
  text.stop_tokens = {263, 7};
  EXPECT_EQ(read(bpe_values(text)).bos_token, std::nullopt);
  EXPECT_EQ(read(bpe_values(text)).chat_template, std::nullopt);
  text.bos_token = 5;
  text.chat_template = "{% for m in messages %}";
  EXPECT_EQ(read(bpe_values(text)).bos_token, 5);
  EXPECT_EQ(read(bpe_values(text)).stop_tokens, (std::vector<int32_t>{263, 7}));
  EXPECT_EQ(read(bpe_values(text)).chat_template, text.chat_template);
  // Several templates: the default one stands where llama.cpp looks for it.
  text.chat_template = join_templates({{"default", "{{ a }}"}, {"tool_use", "{{ b }}"}});
  EXPECT_EQ(at<std::string>(bpe_values(text), "tokenizer.chat_template"), "{{ a }}");
  EXPECT_EQ(at<std::string>(bpe_values(text), "tokenizer.chat_template.tool_use"), "{{ b }}");
  EXPECT_EQ(read(bpe_values(text)).chat_template, text.chat_template);
  // A begin-of-text token that the tokenizer knows but the model was not trained on is named, not added.
  Values values = sentencepiece_values();
  EXPECT_EQ(read(values).bos_token, std::nullopt);
  EXPECT_EQ(read(values).stop_tokens, std::vector<int32_t>{2});
  for (const char* key :
       {"tokenizer.ggml.add_bos_token", "tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"})
    drop(values, key);
  EXPECT_EQ(read(values).bos_token, 1);
  EXPECT_EQ(read(values).stop_tokens, std::vector<int32_t>{2});
  values.emplace_back("tokenizer.ggml.eot_token_id", int64_t{1} << 31);
  expect_error([&] { read(values); }, {"tokenizer.ggml.eot_token_id", "2147483648"});
}

TEST(GgufTokenizer, SentencePieceComesBack) {
  for (const bool dummy_prefix : {true, false}) {
    const SentencePieceTokenizer pieces(test::small_sentencepiece(dummy_prefix), "small");
    const Values values = gguf_tokenizer_values(pieces, {}, pieces.vocab_size());
    EXPECT_EQ(at<bool>(values, "tokenizer.ggml.add_space_prefix"), dummy_prefix);
    const auto inside = through_file(values);
    test::expect_same_ids(*inside, pieces);
    test::expect_same_attachments(*inside, pieces);  // this model was written by the same hand
  }
  // Other names for the special tokens, and a user-defined piece with a space.
  SentencePieceModel model = read_sentencepiece_model(test::small_sentencepiece());
  model.unknown_piece = model.pieces[0].text = "[UNK]";
  model.bos_piece = model.pieces[1].text = "<|begin|>";
  model.eos_piece = model.pieces[2].text = "<|end|>";
  model.pad_piece = "<|fill|>";
  model.pieces.push_back({"<|fill|>", 0, SentencePieceModel::Kind::control});
  model.pieces.push_back({cat("c", kSpaceSymbol, "c"), 0, SentencePieceModel::Kind::user_defined});
  const SentencePieceTokenizer renamed(write_sentencepiece_model(model), "renamed");
  EXPECT_EQ(renamed.eos(), 2);
  const Values values = gguf_tokenizer_values(renamed, {}, renamed.vocab_size());
  EXPECT_EQ(at<int64_t>(values, "tokenizer.ggml.padding_token_id"), renamed.vocab_size() - 2);
  EXPECT_EQ(at<std::vector<std::string>>(values, "tokenizer.ggml.tokens").back(), "c c");
  test::expect_same_attachments(*through_file(values), renamed);
}

TEST(GgufTokenizer, TrainedModelsOfTheKindsThatLlamaCppKnows) {
  const auto train = [](const char* type) {
    SentencePieceOptions options{.model_type = type, .vocab_size = std::string(type) == "char" ? 0 : 370};
    const auto texts = [text = test::random_prose(20'000), done = false](std::string& next) mutable {
      next = text;
      return !std::exchange(done, true);
    };
    return SentencePieceTokenizer(train_sentencepiece(options, texts), type);
  };
  for (const char* type : {"bpe", "char"}) {
    SCOPED_TRACE(type);
    const auto trained = train(type);
    const auto inside = through_file(gguf_tokenizer_values(trained, {}, trained.vocab_size()));
    test::expect_same_ids(*inside, trained);
    const std::string prose = test::random_prose(5'000);
    EXPECT_EQ(inside->encode(prose, SpecialTokens::as_text), trained.encode(prose, SpecialTokens::as_text));
  }
  const auto unigram = train("unigram");
  expect_error([&] { gguf_tokenizer_values(unigram, {}, unigram.vocab_size()); }, {"unigram", "BPE"});
}

TEST(GgufTokenizer, RefusesToWriteWhatLlamaCppCannotRead) {
  const auto expect_refused = [](const BpeDefinition& definition, const std::vector<std::string>& parts) {
    expect_error([&] { gguf_tokenizer_values(ByteLevelBpe(definition), {}, 300); }, parts);
  };
  expect_refused(test::small_bpe(), {R"(\p{L}+|\s+|[^\p{L}\s]+)", "llama-bpe", "gpt-2"});
  BpeDefinition definition = named_bpe("qwen2");
  definition.ignore_merges = true;
  expect_refused(definition, {"ignore_merges true"});
  definition = named_bpe();
  definition.tokens.emplace_back("ab");
  expect_refused(definition, {"256 and 264", "\"ab\""});
  definition = named_bpe();
  definition.tokens.emplace_back("[PAD299]");
  expect_refused(definition, {"[PAD299]"});
  expect_error([] { bpe_values({}, 263); }, {"264 tokens", "263"});
  TextMetadata text;
  text.bos_token = 264;
  expect_error([&] { bpe_values(text); }, {"begin-of-text", "263", "264"});
  text = {};
  text.stop_tokens = {1, 264};
  expect_error([&] { bpe_values(text); }, {"stop token", "264"});

  const auto expect_model_refused = [](auto change, const std::string& part) {
    SentencePieceModel model = read_sentencepiece_model(test::small_sentencepiece());
    change(model);
    const SentencePieceTokenizer tokenizer(write_sentencepiece_model(model), "changed");
    expect_error([&] { gguf_tokenizer_values(tokenizer, {}, tokenizer.vocab_size()); }, {part, "llama.cpp"});
  };
  expect_model_refused([](auto& m) { m.remove_extra_whitespaces = true; }, "remove_extra_whitespaces");
  expect_model_refused([](auto& m) { m.escape_whitespaces = false; }, "escape_whitespaces");
  expect_model_refused([](auto& m) { m.whitespace_is_suffix = true; }, "treat_whitespace_as_suffix");
}

/// Expects that a file with these values is refused.
void expect_bad(const Values& values, const std::vector<std::string>& parts) {
  const TempDir dir;
  GgufWriter(dir.file("t.gguf"), values, {}).commit();
  std::vector<std::string> all = parts;
  all.push_back(dir.file("t.gguf"));
  const GgufFile file(dir.file("t.gguf"));
  expect_error([&] { tokenizer_of(file); }, all);
}

template <class T>
Values changed(Values values, const char* key, void (*change)(T&)) {
  change(at<T>(values, key));
  return values;
}

using Texts = std::vector<std::string>;
using Types = std::vector<int32_t>;
using Scores = std::vector<float>;
constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kTypes = "tokenizer.ggml.token_type";
constexpr const char* kScores = "tokenizer.ggml.scores";
constexpr const char* kMerges = "tokenizer.ggml.merges";

TEST(GgufTokenizer, RefusesBadKeysOfByteLevelBpe) {
  const Values good = bpe_values();
  expect_bad(changed<std::string>(good, "tokenizer.ggml.model", [](auto& v) { v = "bert"; }),
             {"tokenizer.ggml.model", "gpt2", "llama", "bert"});
  expect_bad(changed<std::string>(good, "tokenizer.ggml.pre", [](auto& v) { v = "smollm"; }),
             {"tokenizer.ggml.pre", "llama-bpe", "smollm"});
  Values values = good;
  drop(values, "tokenizer.ggml.pre");
  expect_bad(values, {"tokenizer.ggml.pre", "found none"});
  for (const char* key : {kTokens, kMerges}) {
    values = good;
    drop(values, key);
    expect_bad(values, {key});
  }
  expect_bad(changed<Types>(good, kTypes, [](auto& v) { v.pop_back(); }), {kTypes, "264", "263"});
  expect_bad(changed<Types>(good, kTypes, [](auto& v) { v[3] = 0; }),
             {kTypes, "token 3", "1 to 6", "found 0"});
  expect_bad(changed<Types>(good, kTypes, [](auto& v) { v[3] = 7; }), {kTypes, "found 7"});
  expect_bad(changed<Texts>(good, kTokens, [](auto& v) { v[256] = "bc"; }), {kTokens, "\"bc\" stands twice"});
  expect_bad(changed<Texts>(good, kTokens, [](auto& v) { v[262] = "\xE4\xB8\xAD"; }),
             {"byte-level alphabet"});
  expect_bad(changed<Texts>(good, kTokens, [](auto& v) { v[65] = "xx"; }), {"single byte"});
  expect_bad(changed<Texts>(good, kMerges, [](auto& v) { v[0] = "ab"; }), {kMerges, "two tokens", "\"ab\""});
  expect_bad(changed<Texts>(good, kMerges, [](auto& v) { v[0] = "a zz"; }), {kMerges, "\"zz\" is no token"});
  expect_bad(changed<Texts>(good, kMerges, [](auto& v) { v[0] = "b b"; }), {kMerges, "\"bb\" is no token"});
}

TEST(GgufTokenizer, RefusesBadKeysOfSentencePiece) {
  const Values good = sentencepiece_values();
  for (const char* key : {kTokens, kScores}) {
    Values values = good;
    drop(values, key);
    expect_bad(values, {key});
  }
  Values values = good;
  drop(values, kTypes);
  expect_bad(values, {kTypes, "type 2", "found 0"});
  expect_bad(changed<Types>(good, kTypes, [](auto& v) { v.pop_back(); }), {kTypes, "271", "270"});
  expect_bad(changed<Types>(good, kTypes, [](auto& v) { v[9] = 9; }), {kTypes, "token 9", "found 9"});
  expect_bad(changed<Types>(good, kTypes, [](auto& v) { v[1] = 2; }),
             {kTypes, "one token of type 2", "found 2"});
  expect_bad(changed<Types>(good, kTypes, [](auto& v) { v[7] = 1; }), {kTypes, "256", "found 255"});
  expect_bad(changed<Scores>(good, kScores, [](auto& v) { v.pop_back(); }), {kScores, "271", "270"});
  expect_bad(changed<Scores>(good, kScores, [](auto& v) { v[5] = std::numeric_limits<float>::quiet_NaN(); }),
             {kScores, "token 5"});
  expect_bad(changed<Texts>(good, kTokens, [](auto& v) { v[270] = "a"; }), {kTokens, "\"a\" stands twice"});
  expect_bad(changed<Texts>(good, kTokens, [](auto& v) { v[270] = ""; }), {kTokens, "token 270 is empty"});
  expect_bad(changed<Texts>(good, kTokens, [](auto& v) { v[12] = "<0x9>"; }),
             {kTokens, "token 12", "<0x00> to <0xFF>", "<0x9>"});
  for (const char* key : {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"}) {
    expect_bad(changed<int64_t>(good, key, [](auto& v) { v = 271; }), {key, "0 to 270", "271"});
  }
}

TEST(GgufTokenizer, ReadsWhatOtherConvertersLeaveOut) {
  const SentencePieceTokenizer pieces(test::small_sentencepiece(), "small");
  Values values = sentencepiece_values();
  for (const char* key : {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                          "tokenizer.ggml.unknown_token_id", "tokenizer.ggml.add_space_prefix"})
    drop(values, key);
  at<Types>(values, kTypes)[0] = 3;  // the unknown token as a control token
  test::expect_same_attachments(*through_file(values), pieces);
}

}  // namespace
}  // namespace rotor::text
