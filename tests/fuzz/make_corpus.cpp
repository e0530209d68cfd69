// Writes the seeds from which fuzzers start, small ones of every kind that readers tell apart:
//   make_corpus tests/fuzz/corpus
// What fuzzing found is kept beside them under names of its own, and is not touched.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>

#include <sentencepiece_trainer.h>

#include "rotor/core/error.h"
#include "rotor/core/tiles.h"
#include "rotor/formats/bpe_tables.h"
#include "rotor/formats/config_json.h"
#include "rotor/formats/gguf.h"
#include "rotor/formats/json.h"
#include "rotor/formats/lora_config.h"
#include "rotor/formats/rotor_file.h"
#include "rotor/text/byte_level_bpe.h"
#include "rotor/text/sentencepiece.h"
#include "rotor/text/word_piece.h"
#include "rotor/text/word_piece_loader.h"
#include "tests/support/tiktoken.h"

namespace {

using namespace rotor;
namespace fs = std::filesystem;

fs::path g_corpus;

std::string place(const std::string& target, const std::string& name) {
  fs::create_directories(g_corpus / target);
  return g_corpus / target / name;
}

void write(const std::string& target, const std::string& name, const std::string& contents) {
  std::ofstream(place(target, name), std::ios::binary) << contents;
}

ModelConfig transformer(const std::string& model_type, int64_t hidden_size = 16) {
  ModelConfig config;
  config.model_type = model_type;
  TransformerConfig& t = config.transformer;
  t.vocab_size = 4;
  t.hidden_size = hidden_size;
  t.intermediate_size = 8;
  t.num_hidden_layers = 1;
  t.num_attention_heads = 2;
  t.num_key_value_heads = 1;
  t.head_dim = 4;
  t.max_position_embeddings = 8;
  t.tie_word_embeddings = model_type == "bitnet";
  if (model_type != "bitnet") t.hidden_act = Activation::silu;
  t.bos_token_id = 1;
  t.eos_token_ids = {2, 3};
  return config;
}

ModelConfig bert() {
  ModelConfig config;
  config.model_type = "bert";
  config.quantization = Quantization::none;
  BertConfig& b = config.bert;
  b.vocab_size = 8;
  b.hidden_size = 4;
  b.num_hidden_layers = 1;
  b.num_attention_heads = 2;
  b.intermediate_size = 6;
  b.max_position_embeddings = 8;
  b.max_seq_length = 6;
  b.normalize = true;
  return config;
}

ModelConfig mlp(Activation activation) {
  ModelConfig config;
  config.mlp.layer_sizes = {6, 5, 3};
  config.mlp.activation = activation;
  config.mlp.bias = true;
  config.mlp.class_names = {"a", "b", "c"};
  return config;
}

void write_adapter_configs() {
  LoraConfig config;
  config.all_linear = true;
  config.use_rslora = true;
  config.base_fingerprint = "0123456789abcdef";
  write("adapter_config", "all_linear", lora_config_to_json(config));
  config.all_linear = false;
  config.targets.names = {"q_proj", "mlp.down_proj"};
  config.layers = {0, 11};
  config.rank_pattern = {{"q_proj", 4}, {"layers.1.mlp.*", 3}};
  config.alpha_pattern = {{"down_proj", 2.5}};
  write("adapter_config", "names", lora_config_to_json(config));
  config.layers.reset();
  config.targets = {.names = {}, .pattern = R"(.*\.(q|v)_proj|lm_head)"};
  config.excluded.names = {"v_proj"};
  write("adapter_config", "pattern", lora_config_to_json(config));
}

text::BpeDefinition byte_level_bpe() {
  text::BpeDefinition definition;
  definition.split_pattern = R"(\p{L}+|\s+|[^\p{L}\s]+)";
  for (int byte = 0; byte < 256; ++byte) definition.tokens.emplace_back(1, static_cast<char>(byte));
  for (const char* token : {"ab", "abc", "aa", "aaaa"}) definition.tokens.emplace_back(token);
  definition.specials = {{"<|end|>", static_cast<text::TokenId>(definition.tokens.size())}};
  definition.tokens.emplace_back("<|end|>");
  return definition;
}

/// The letters by which tokenizer.json and GGUF spell bytes (openai/gpt-2, encoder.py, bytes_to_unicode).
std::string letter(int byte) {
  const auto printable = [](int b) {
    return (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
  };
  int point = byte;
  if (!printable(byte)) {
    point = 256;
    for (int b = 0; b < byte; ++b) point += printable(b) ? 0 : 1;
  }
  if (point < 0x80) return {static_cast<char>(point)};
  return {static_cast<char>(0xC0 | point >> 6), static_cast<char>(0x80 | (point & 0x3F))};
}

void write_tokenizer_json(const std::string& name, bool merges_as_pairs, bool nfc = false) {
  Json vocab = Json::object();
  for (int byte = 0; byte < 256; ++byte) vocab[letter(byte)] = byte;
  for (const char* token : {"ab", "abc", "aa"}) vocab[token] = vocab.size();
  Json merges = Json::array();
  for (const auto& [left, right] : {std::pair{"a", "b"}, {"ab", "c"}, {"a", "a"}}) {
    merges.push_back(merges_as_pairs ? Json{left, right} : Json(cat(left, " ", right)));
  }
  const Json pattern = {{"Regex", text::kLlama3SplitPattern}};
  const Json steps = {{{"type", "Split"}, {"pattern", pattern}, {"behavior", "Isolated"}},
                      {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}};
  const Json json = {
      {"added_tokens", {{{"id", 259}, {"content", "<|end|>"}, {"special", true}}}},
      {"normalizer", nfc ? Json{{"type", "NFC"}} : Json()},
      {"pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", steps}}},
      {"model", {{"type", "BPE"}, {"ignore_merges", true}, {"vocab", vocab}, {"merges", merges}}}};
  write("tokenizer_json", name, dump_json(json));
}

std::string sentencepiece(const std::string& model_type, bool byte_fallback) {
  text::SentencePieceOptions options;
  options.model_type = model_type;
  options.byte_fallback = byte_fallback;
  options.vocab_size = model_type == "char" ? 0 : byte_fallback ? 288 : 32;
  int left = 40;
  return text::train_sentencepiece(options, [&](std::string& line) {
    line = cat("the sea and the ship, ", left % 7,
               " and the old captain of it, sailing the seas and the ships, said the sailor\n");
    return left-- > 0;
  });
}

/// A model with rules of a normalizer, few ones: those of the library take 240 kB.
std::string sentencepiece_with_rules() {
  const std::string rules = g_corpus / "rules.tsv";
  const std::string text = g_corpus / "text";
  std::ofstream(rules) << "41\t61\n42\t62\nE9\t65 301\nFB01\t66 69\nA0\t20\n200B\t\n";
  for (std::ofstream out(text); out.tellp() < 20000;)
    out << "the sea and the ship, " << out.tellp() % 7 << " and the old captain\n";
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train({{"input", text},
                                                                  {"normalization_rule_tsv", rules},
                                                                  {"vocab_size", "40"},
                                                                  {"hard_vocab_limit", "false"},
                                                                  {"user_defined_symbols", "the,<sep>"},
                                                                  {"minloglevel", "2"},
                                                                  {"num_threads", "1"}},
                                                                 nullptr, &model);
  if (!status.ok()) fail(status.ToString());
  fs::remove(rules);
  fs::remove(text);
  return model;
}

void write_tokenizer_models() {
  write("tokenizer_model", "unigram_rules", sentencepiece_with_rules());
  std::string ranks;
  const text::BpeDefinition definition = byte_level_bpe();
  for (size_t id = 0; id + 1 < definition.tokens.size(); ++id)
    ranks += cat(test::base64(definition.tokens[id]), ' ', id, '\n');
  write("tokenizer_model", "tiktoken", ranks);
  for (const char* type : {"unigram", "bpe", "char"}) {
    for (const bool fallback : {true, false})
      write("tokenizer_model", cat(type, fallback ? "_bytes" : ""), sentencepiece(type, fallback));
  }
}

void write_rotor(const std::string& name, const ModelConfig& config, DenseFormat dense = {},
                 const RotorAttachments& attachments = {}) {
  RotorWriter writer(place("rotor", name), config, dense, attachments);
  for (const TensorSpec& spec : tensor_table(config)) {
    size_t count = 1;
    for (const int64_t size : spec.shape) count *= static_cast<size_t>(size);
    if (is_ternary(config, spec)) {
      writer.write_ternary(
          spec.name,
          [&](int64_t first, int64_t rows, std::span<uint8_t> tiles) {
            const auto cols = static_cast<size_t>(spec.shape[1]);
            std::vector<int8_t> trits(static_cast<size_t>(rows) * cols);
            for (size_t i = 0; i < trits.size(); ++i)
              trits[i] = static_cast<int8_t>((static_cast<size_t>(first) + i * i) % 3) - 1;
            pack_tiles(trits, static_cast<size_t>(rows), cols, tiles);
          },
          0.5F);
    } else {
      writer.write_floats(spec.name, std::vector<float>(count, 0.25F));
    }
  }
  writer.commit();
}

/// A model whose ternary matrices are of `type` where their columns allow it, else I2_S.
void write_gguf(const std::string& name, const std::string& architecture, GgufType type, GgufType embedding,
                bool with_tokenizer) {
  const bool wide = type != GgufType::i2_s;
  const int64_t hidden = wide ? 256 : 16;
  const auto key = [&](const char* part) { return cat(architecture, ".", part); };
  std::vector<std::pair<std::string, GgufValue>> values = {{"general.architecture", architecture},
                                                           {key("block_count"), int64_t{1}},
                                                           {key("embedding_length"), hidden},
                                                           {key("feed_forward_length"), int64_t{8}},
                                                           {key("context_length"), int64_t{8}},
                                                           {key("attention.head_count"), int64_t{4}},
                                                           {key("attention.head_count_kv"), int64_t{4}},
                                                           {key("attention.layer_norm_rms_epsilon"), 1e-5},
                                                           {key("rope.dimension_count"), int64_t{2}},
                                                           {key("rope.freq_base"), 10000.0},
                                                           {key("rope.scaling.type"), std::string("linear")},
                                                           {key("rope.scaling.factor"), 1.0}};
  if (with_tokenizer) {
    std::vector<std::string> tokens;
    for (int byte = 0; byte < 256; ++byte) tokens.push_back(letter(byte));
    tokens.insert(tokens.end(), {"ab", "abc", "<|end|>"});
    std::vector<int32_t> types(tokens.size(), 1);
    types.back() = 3;
    values.emplace_back("tokenizer.ggml.model", std::string("gpt2"));
    values.emplace_back("tokenizer.ggml.pre", std::string("llama-bpe"));
    values.emplace_back("tokenizer.ggml.tokens", tokens);
    values.emplace_back("tokenizer.ggml.token_type", types);
    values.emplace_back("tokenizer.ggml.merges", std::vector<std::string>{"a b", "ab c"});
    values.emplace_back("tokenizer.ggml.add_bos_token", true);
    values.emplace_back("tokenizer.ggml.scores", std::vector<float>{0.5F, 1.0F});
  }
  std::vector<GgufTensorDeclaration> tensors = {{"token_embd.weight", {4, hidden}, embedding},
                                                {"output_norm.weight", {hidden}, GgufType::f32},
                                                {"blk.0.attn_norm.weight", {hidden}, GgufType::f32},
                                                {"blk.0.ffn_norm.weight", {hidden}, GgufType::bf16}};
  if (architecture == "qwen2") {
    for (const char* part : {"attn_q", "attn_k", "attn_v"})
      tensors.push_back({cat("blk.0.", part, ".bias"), {8}, GgufType::f32});
  } else if (architecture != "llama") {
    tensors.push_back({"blk.0.attn_sub_norm.weight", {8}, GgufType::f16});
    tensors.push_back({"blk.0.ffn_sub_norm.weight", {8}, GgufType::f32});
  } else {
    tensors.push_back({"output.weight", {4, hidden}, embedding});
  }
  for (const char* part : {"attn_q", "attn_k", "attn_v", "ffn_gate", "ffn_up"})
    tensors.push_back({cat("blk.0.", part, ".weight"), {8, hidden}, type});
  for (const char* part : {"attn_output", "ffn_down"})
    tensors.push_back({cat("blk.0.", part, ".weight"), {hidden, 8}, GgufType::i2_s});
  GgufWriter writer(place("gguf", name), values, tensors);
  for (const GgufTensorDeclaration& tensor : tensors) {
    const int64_t elements = tensor.shape[0] * (tensor.shape.size() == 2 ? tensor.shape[1] : 1);
    std::vector<uint8_t> bytes(*gguf_bytes(tensor.type, elements, tensor.shape.back()), 0x15);
    if (tensor.type == GgufType::i2_s) {
      const float scale = 0.5F;
      std::copy_n(reinterpret_cast<const uint8_t*>(&scale), sizeof(scale), bytes.end() - 32);
    }
    writer.write(bytes);
  }
  writer.commit();
}

void write_safetensors() {
  SafetensorsWriter writer(place("safetensors", "every_type"), {{"format", "pt"}, {"empty", ""}},
                           {{"f32", DType::f32, {2, 2}},
                            {"f16", DType::f16, {3}},
                            {"bf16", DType::bf16, {1, 1, 2}},
                            {"u8", DType::u8, {4}},
                            {"i8", DType::i8, {2}},
                            {"scalar", DType::i64, {}},
                            {"none", DType::f64, {0, 7}}});
  writer.write(std::vector<uint8_t>(16 + 6 + 4 + 4 + 2 + 8, 0x3C));
  writer.commit();
  SafetensorsWriter(place("safetensors", "no_tensors"), {}, {}).commit();
}

constexpr const char* kVocabTxt = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nthe\n##s\ncaf\xC3\xA9\n\xE6\xBC\xA2\n";

void write_word_pieces() {
  write("word_piece", "vocab", kVocabTxt);
  write(
      "word_piece", "json",
      R"({"added_tokens":[{"id":1,"content":"[UNK]","special":true},{"id":9,"content":"[X]","special":true}],)"
      R"("normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,)"
      R"("strip_accents":null,"lowercase":true},"pre_tokenizer":{"type":"BertPreTokenizer"},)"
      R"("post_processor":{"type":"BertProcessing","sep":["[SEP]",3],"cls":["[CLS]",2]},)"
      R"("model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##",)"
      R"("max_input_chars_per_word":100,"vocab":{"[PAD]":0,"[UNK]":1,"[CLS]":2,"[SEP]":3,"a":4,"##a":5}}})");
}

std::string idx(std::vector<uint32_t> shape) {
  std::string bytes = {0, 0, 8, static_cast<char>(shape.size())};
  size_t count = 1;
  for (const uint32_t size : shape) {
    bytes += {0, 0, 0, static_cast<char>(size)};
    count *= size;
  }
  return bytes + std::string(count, '\1');
}

void write_all() {
  for (const char* type : {"bitnet", "llama", "qwen2"}) {
    ModelConfig config = transformer(type);
    write("config_json", type, model_config_to_json(config));
    config.quantization = Quantization::none;
    write("config_json", cat(type, "_float"), model_config_to_json(config, 2));
  }
  write("config_json", "mlp", model_config_to_json(mlp(Activation::sign)));
  write(
      "config_json", "packed",
      R"({"model_type":"bitnet","vocab_size":8,"hidden_size":8,"intermediate_size":8,"num_hidden_layers":1,)"
      R"("num_attention_heads":2,"quantization_config":{"quant_method":"bitnet","linear_class":"bitlinear",)"
      R"("quantization_mode":"offline","modules_to_not_convert":null},"rope_parameters":{"rope_type":"default",)"
      R"("rope_theta":10000.0},"eos_token_id":[1,2]})");
  write_adapter_configs();
  write_safetensors();
  write_tokenizer_json("pairs", true);
  write_tokenizer_json("texts", false);
  write_tokenizer_json("nfc", true, true);
  write_tokenizer_models();
  write_word_pieces();
  write("config_json", "bert", model_config_to_json(bert()));
  write_rotor("mlp", mlp(Activation::relu));
  write_rotor("bitnet_bpe", transformer("bitnet"), DenseFormat(DenseType::q8, true),
              text::ByteLevelBpe(byte_level_bpe()).attachments());
  RotorAttachments attachments =
      text::make_sentencepiece_tokenizer(sentencepiece("bpe", false), "seed")->attachments();
  attachments.set_chat_template("{{ messages }}");
  write_rotor("llama_sentencepiece", transformer("llama"), DenseType::f16, attachments);
  DenseFormat encoder(DenseType::q8);
  encoder.layers = DenseType::f16;
  write_rotor("bert_word_piece", bert(), encoder,
              text::WordPiece(text::read_vocab_txt(kVocabTxt, "vocab.txt")).attachments());
  write_gguf("tq1_0", "bitnet-b1.58", GgufType::tq1_0, GgufType::q6_k, false);
  write_gguf("tq2_0", "bitnet", GgufType::tq2_0, GgufType::q8_0, false);
  write_gguf("i2_s", "bitnet-25", GgufType::i2_s, GgufType::f16, true);
  write_gguf("llama", "llama", GgufType::tq2_0, GgufType::q4_0, true);
  write_gguf("qwen2", "qwen2", GgufType::tq2_0, GgufType::f16, false);
  write("idx", "two_images", idx({2, 2, 1}) + std::string(8, '\0') + idx({2}));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: make_corpus CORPUS_DIR\n";
    return 2;
  }
  g_corpus = argv[1];
  try {
    write_all();
  } catch (const Error& e) {
    std::cerr << "make_corpus: " << e.what() << '\n';
    return 1;
  }
}
