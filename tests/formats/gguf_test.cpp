// GGUF files: those that llama.cpp and bitnet.cpp wrote (tests/golden/gguf), our own back again, and every
// way in which a header can lie.
#include "rotor/formats/gguf.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "rotor/core/dense.h"
#include "rotor/core/error.h"
#include "rotor/formats/gguf_source.h"
#include "tests/support/golden.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace rotor {
namespace {

using test::expect_error;
using test::TempDir;

struct GoldenFile {
  const char* file;
  const char* format;
  const char* embedding;
};

class GoldenGgufTest : public ::testing::TestWithParam<GoldenFile> {};

INSTANTIATE_TEST_SUITE_P(Files, GoldenGgufTest,
                         ::testing::Values(GoldenFile{"model-tq1_0.gguf", "GGUF, TQ1_0", "embedding.q8_0"},
                                           GoldenFile{"model-tq2_0.gguf", "GGUF, TQ2_0", "embedding.q6_k"},
                                           GoldenFile{"model-i2_s.gguf", "GGUF, I2_S", "embedding.q4_0"}),
                         [](const auto& param) { return std::string(param.param.embedding).substr(10); });

TEST_P(GoldenGgufTest, IsReadAsItWasMeant) {
  const GgufSource source(test::golden_path(std::string("gguf/") + GetParam().file));
  const SafetensorsFile expected = test::open_golden("gguf/expected.safetensors");
  EXPECT_EQ(source.format(), GetParam().format);
  const ModelConfig& config = source.config();
  EXPECT_EQ(config.model_type, "bitnet");
  const TransformerConfig& t = config.transformer;
  EXPECT_EQ(t.vocab_size, 288);
  EXPECT_EQ(t.hidden_size, 256);
  EXPECT_EQ(t.intermediate_size, 256);
  EXPECT_EQ(t.num_hidden_layers, 1);
  EXPECT_EQ(t.num_attention_heads, 2);
  EXPECT_EQ(t.num_key_value_heads, 1);
  EXPECT_EQ(t.head_dim, 128);
  EXPECT_EQ(t.hidden_act, Activation::silu) << "as mainline's graph of architecture bitnet";
  EXPECT_EQ(t.max_position_embeddings, 256);
  EXPECT_FLOAT_EQ(static_cast<float>(t.rms_norm_eps), 1e-5F);
  EXPECT_EQ(t.rope_theta, 10000.0);
  EXPECT_TRUE(t.tie_word_embeddings);
  EXPECT_EQ(t.bos_token_id, 286);
  EXPECT_EQ(t.eos_token_ids, std::vector<int64_t>{287});
  for (const TensorSpec& spec : tensor_table(config)) {
    SCOPED_TRACE(spec.name);
    if (is_ternary(config, spec)) {
      EXPECT_EQ(source.scale(spec), expected.read<float>(scale_name(spec.name))[0]);
      std::vector<int8_t> trits(static_cast<size_t>(spec.shape[0] * spec.shape[1]));
      source.read_trits(spec, 0, spec.shape[0], trits);
      const std::vector<int8_t> all = expected.read<int8_t>(spec.name);
      EXPECT_EQ(trits, all);
      std::vector<int8_t> some(3 * 256);
      source.read_trits(spec, 50, 3, some);
      EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin() + 50 * 256));
    } else if (spec.role == TensorRole::vector) {
      EXPECT_EQ(source.tensor(spec), expected.read<float>(spec.name));
    } else {
      std::vector<float> rows(64 * 256);
      source.read_floats(spec, 0, 64, rows);
      EXPECT_EQ(rows, expected.read<float>(GetParam().embedding));
      std::vector<float> row(256);
      source.read_floats(spec, 63, 1, row);
      EXPECT_TRUE(std::equal(row.begin(), row.end(), rows.end() - 256));
    }
  }
}

TEST(GgufBlocks, ComeBack) {
  test::Random random;
  for (int trial = 0; trial < 50; ++trial) {
    const std::vector<int8_t> trits = random.trits(256);
    std::vector<int8_t> found(256);
    std::vector<uint8_t> block(kTq1Bytes);
    encode_tq1(trits, 0x3C00, block);
    EXPECT_EQ(decode_tq1(block, found), 0x3C00);
    EXPECT_EQ(found, trits);
    block.resize(kTq2Bytes);
    encode_tq2(trits, 0x1234, block);
    EXPECT_EQ(decode_tq2(block, found), 0x1234);
    EXPECT_EQ(found, trits);
    for (const I2sOrder order : {I2sOrder::x86, I2sOrder::arm}) {
      block.resize(64);
      encode_i2s(trits, order, block);
      decode_i2s(block, order, found);
      EXPECT_EQ(found, trits);
      decode_i2s(block, order == I2sOrder::x86 ? I2sOrder::arm : I2sOrder::x86, found);
      EXPECT_NE(found, trits) << "read in the other order";
    }
  }
  std::vector<int8_t> trits(256);
  std::vector<uint8_t> block(kTq2Bytes);
  block[33] = 3 << 4;
  expect_error([&] { decode_tq2(block, trits); }, {"value 193", "code 3"});
  block.resize(64);
  expect_error([&] { decode_i2s(block, I2sOrder::x86, trits); }, {"value 161", "code 3"});
  expect_error([&] { decode_i2s(block, I2sOrder::arm, trits); }, {"value 145", "code 3"});
}

TEST(Gguf, QueryRowsOfLlamaAreInterleaved) {
  // convert_hf_to_gguf.py: reshape(heads, 2, dim / 2, columns), axes 1 and 2 swapped.
  constexpr int64_t kHeads = 3;
  constexpr int64_t kDim = 8;
  for (int64_t head = 0; head < kHeads; ++head) {
    for (int64_t half = 0; half < 2; ++half) {
      for (int64_t i = 0; i < kDim / 2; ++i) {
        EXPECT_EQ(gguf_rope_row(head * kDim + half * kDim / 2 + i, kDim), head * kDim + i * 2 + half);
      }
    }
  }
}

std::vector<std::pair<std::string, GgufValue>> values_of(const std::string& architecture) {
  const auto key = [&](const char* name) { return architecture + "." + name; };
  return {{"general.architecture", architecture},
          {key("block_count"), int64_t{1}},
          {key("embedding_length"), int64_t{256}},
          {key("feed_forward_length"), int64_t{256}},
          {key("context_length"), int64_t{64}},
          {key("attention.head_count"), int64_t{2}},
          {key("attention.head_count_kv"), int64_t{2}},
          {key("attention.layer_norm_rms_epsilon"), 1e-5},
          {key("rope.freq_base"), 10000.0}};
}

/// A model of one layer in which every ternary row holds its number's low bit, to see where rows come from.
void write_model(const std::string& path, const std::string& architecture, GgufType type = GgufType::tq2_0,
                 bool other_scale = false, const std::string& left_out = "", GgufType norms = GgufType::f32) {
  std::vector<GgufTensorDeclaration> tensors = {{"token_embd.weight", {32, 256}, GgufType::f32},
                                                {"output_norm.weight", {256}, norms}};
  for (const char* norm : {"attn_norm", "ffn_norm"})
    tensors.push_back({cat("blk.0.", norm, ".weight"), {256}, GgufType::f32});
  if (architecture == "qwen2") {
    for (const char* part : {"attn_q", "attn_k", "attn_v"})
      tensors.push_back({cat("blk.0.", part, ".bias"), {256}, GgufType::f32});
  } else if (architecture != "llama") {
    for (const char* norm : {"attn_sub_norm", "ffn_sub_norm"}) {
      tensors.push_back({cat("blk.0.", norm, ".weight"), {256}, GgufType::f32});
    }
  }
  for (const char* part : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}) {
    tensors.push_back({cat("blk.0.", part, ".weight"), {256, 256}, type});
  }
  std::erase_if(tensors, [&](const GgufTensorDeclaration& tensor) { return tensor.name == left_out; });
  GgufWriter writer(path, values_of(architecture), tensors);
  for (const GgufTensorDeclaration& tensor : tensors) {
    const auto elements =
        static_cast<size_t>(tensor.shape[0] * (tensor.shape.size() == 2 ? tensor.shape[1] : 1));
    if (tensor.type != GgufType::tq2_0) {
      writer.write(std::vector<uint8_t>(
          *gguf_bytes(tensor.type, static_cast<int64_t>(elements), tensor.shape.back())));
      continue;
    }
    for (size_t row = 0; row < 256; ++row) {
      const std::vector<int8_t> trits(256, row % 128 < 64 ? int8_t{-1} : int8_t{1});
      std::vector<uint8_t> block(kTq2Bytes);
      encode_tq2(trits, float_to_f16(other_scale && row == 9 ? 0.25F : 0.5F), block);
      writer.write(block);
    }
  }
  writer.commit();
}

const TensorSpec& spec_of(const std::vector<TensorSpec>& table, const std::string& name) {
  return *std::ranges::find_if(table, [&](const TensorSpec& spec) { return spec.name == name; });
}

TEST(GgufSource, ArchitecturesDifferWhereTheirProgramsDo) {
  const TempDir dir;
  for (const auto& [architecture, activation, type] :
       {std::tuple{"bitnet", Activation::silu, "bitnet"},
        std::tuple{"bitnet-b1.58", Activation::relu2, "bitnet"},
        std::tuple{"bitnet-25", Activation::relu2, "bitnet"}, std::tuple{"llama", Activation::silu, "llama"},
        std::tuple{"qwen2", Activation::silu, "qwen2"}}) {
    SCOPED_TRACE(architecture);
    write_model(dir.file("m.gguf"), architecture);
    const GgufSource source(dir.file("m.gguf"));
    EXPECT_EQ(source.config().model_type, type);
    EXPECT_EQ(source.config().transformer.hidden_act, activation);
    EXPECT_EQ(source.config().transformer.vocab_size, 32) << "from the embedding";
    const auto table = tensor_table(source.config());
    for (const char* part : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}) {
      std::vector<int8_t> trits(256 * 256);
      const TensorSpec& spec = spec_of(table, cat("model.layers.0.", part, ".weight"));
      source.read_trits(spec, 0, 256, trits);
      const bool permuted = std::string(architecture) == "llama" && std::string(part) != "self_attn.v_proj";
      // Of a head's 128 rows in the file the first 64 are -1: where rows are interleaved, the first half of
      // each half of ours.
      for (size_t row = 0; row < 256; ++row) {
        const bool minus = permuted ? row % 64 < 32 : row % 128 < 64;
        EXPECT_EQ(trits[row * 256], minus ? -1 : 1) << part << " " << row;
      }
      EXPECT_EQ(source.scale(spec), 0.5F);
    }
  }
}

TEST(GgufSource, WhatCannotBeReadIsNamed) {
  const TempDir dir;
  const std::string path = dir.file("m.gguf");
  write_model(path, "bitnet", GgufType::f16);
  expect_error([&] { GgufSource{path}; },
               {"blk.0.attn_q.weight", "TQ1_0, TQ2_0 or I2_S", "F16", "Hugging Face"});
  write_model(path, "bitnet", GgufType::tq2_0, true);
  const GgufSource uneven(path);
  const auto table = tensor_table(uneven.config());
  expect_error([&] { static_cast<void>(uneven.scale(spec_of(table, "model.layers.0.mlp.up_proj.weight"))); },
               {"blk.0.ffn_up.weight", "block 9", "0.25", "0.5"});
  write_model(path, "bitnet", GgufType::tq2_0, false, "blk.0.attn_k.weight");
  expect_error([&] { GgufSource{path}; }, {"\"blk.0.attn_k.weight\"", "is missing"});
  write_model(path, "bitnet", GgufType::tq2_0, false, "", GgufType::q8_0);
  expect_error([&] { GgufSource{path}; }, {"\"output_norm.weight\"", "F32, F16 or BF16", "Q8_0"});
  write_model(path, "falcon");
  expect_error([&] { GgufSource{path}; }, {"general.architecture", "bitnet-b1.58", "falcon"});
}

class GgufHeaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    GgufWriter writer(path_,
                      {{"text", std::string("hello")},
                       {"flag", true},
                       {"small", int64_t{7}},
                       {"large", int64_t{1} << 40},
                       {"minus", int64_t{-5}},
                       {"number", 0.25},
                       {"texts", std::vector<std::string>{"a", "", "bc"}},
                       {"integers", std::vector<int32_t>{1, -2}},
                       {"floats", std::vector<float>{0.5F, 1.5F}}},
                      {{"vector", {3}, GgufType::f32}, {"matrix", {2, 32}, GgufType::q8_0}});
    const std::vector<float> vector = {1, 2, 3};
    writer.write({reinterpret_cast<const uint8_t*>(vector.data()), 5});
    writer.write({reinterpret_cast<const uint8_t*>(vector.data()) + 5, 7});
    writer.write(std::vector<uint8_t>(68, 1));
    writer.commit();
    good_ = test::read_bytes(path_);
  }
  void expect_refused(const std::string& bytes, const std::vector<std::string>& parts) const {
    test::write_bytes(path_, bytes);
    expect_error([&] { GgufFile{path_}; }, parts);
  }
  /// The file with the bytes behind the first `text` replaced.
  template <class T>
  std::string with(const std::string& text, size_t behind, T value) const {
    std::string bytes = good_;
    std::memcpy(bytes.data() + bytes.find(text) + text.size() + behind, &value, sizeof(value));
    return bytes;
  }

  TempDir dir_;
  std::string path_ = dir_.file("f.gguf");
  std::string good_;
};

TEST_F(GgufHeaderTest, RoundTrip) {
  const GgufFile file(path_);
  EXPECT_EQ(file.text("text"), "hello");
  EXPECT_TRUE(file.boolean("flag"));
  EXPECT_EQ(file.integer("small"), 7);
  EXPECT_EQ(file.integer("large"), int64_t{1} << 40);
  EXPECT_EQ(file.integer("minus"), -5);
  EXPECT_EQ(file.number("number"), 0.25);
  EXPECT_EQ(file.number("small"), 7.0);
  EXPECT_EQ(file.texts("texts"), (std::vector<std::string_view>{"a", "", "bc"}));
  EXPECT_EQ(file.integers("integers"), (std::vector<int64_t>{1, -2}));
  EXPECT_EQ(file.floats("floats"), (std::vector<float>{0.5F, 1.5F}));
  EXPECT_EQ(file.keys().size(), 9U);
  ASSERT_NE(file.find("matrix"), nullptr);
  EXPECT_EQ(file.find("matrix")->shape, (std::vector<int64_t>{2, 32}));
  EXPECT_EQ(file.bytes(*file.find("matrix")).size(), 68U);
  EXPECT_EQ(file.find("matrix")->begin % kGgufAlignment, 0U);
  float second = 0;
  std::memcpy(&second, file.bytes(*file.find("vector")).data() + 4, 4);
  EXPECT_EQ(second, 2.0F);
  EXPECT_EQ(file.find("other"), nullptr);
  expect_error([&] { static_cast<void>(file.integer("text")); }, {"\"text\"", "an integer", "text"});
  expect_error([&] { static_cast<void>(file.text("texts")); }, {"\"texts\"", "array of text"});
  expect_error([&] { static_cast<void>(file.floats("integers")); }, {"array of f32", "i32"});
  expect_error([&] { static_cast<void>(file.integer("none")); }, {"\"none\" is missing"});
}

TEST_F(GgufHeaderTest, EveryTruncationIsAnError) {
  for (size_t size = 0; size < good_.size(); ++size) {
    test::write_bytes(path_, good_.substr(0, size));
    const bool only_padding_is_gone = good_.size() - size <= 28;  // behind the last tensor's 68 bytes
    if (only_padding_is_gone) {
      EXPECT_NO_THROW(GgufFile{path_}) << size;
    } else {
      EXPECT_THROW(GgufFile{path_}, Error) << size;
    }
  }
}

TEST_F(GgufHeaderTest, LiesAreErrors) {
  expect_refused("GGML" + good_.substr(4), {"not a GGUF file"});
  expect_refused(with("GGUF", 0, uint32_t{2}), {"version", "expected 3, found 2"});
  expect_refused(with("GGUF", 0, uint32_t{0x03000000}), {"big-endian"});
  expect_refused(with("GGUF", 4, uint64_t{1} << 60), {"tensor count"});
  expect_refused(with("GGUF", 12, uint64_t{1} << 60), {"truncated"});
  expect_refused(with("flag", 0, uint32_t{77}), {"\"flag\"", "type 0 to 12", "77"});
  expect_refused(with("text", 4, uint64_t{1} << 62), {"text", "truncated"});
  expect_refused(with("integers", 8, uint64_t{1} << 62), {"\"integers\"", "past the end"});
  expect_refused(with("vector", 0, uint32_t{5}), {"\"vector\"", "1 to 4 dimensions", "5"});
  expect_refused(with("matrix", 4, uint64_t{1} << 62), {"\"matrix\"", "overflow"});
  expect_refused(with("vector", 4, uint64_t{1} << 62), {"\"vector\"", "overflow"});  // times 4: 2^64
  expect_refused(with("matrix", 4, uint64_t{33}), {"\"matrix\"", "multiple of 32", "33"});
  expect_refused(with("matrix", 24, uint64_t{39}), {"\"matrix\"", "multiple of 32"});
  expect_refused(with("matrix", 24, uint64_t{0}), {"overlaps"});
  expect_refused(with("matrix", 24, uint64_t{320}), {"\"matrix\"", "truncated"});
  std::string twice = good_;
  twice.replace(twice.find("large"), 5, "small");
  expect_refused(twice, {"\"small\"", "twice"});
}

TEST_F(GgufHeaderTest, WriterRefusesWhatDoesNotFit) {
  expect_error([&] { GgufWriter(path_, {{"a", true}, {"a", false}}, {}); }, {"\"a\"", "twice"});
  expect_error([&] { GgufWriter(path_, {}, {{"m", {2, 100}, GgufType::tq2_0}}); }, {"\"m\"", "256", "100"});
  GgufWriter writer(path_, {}, {{"m", {2}, GgufType::f32}});
  writer.write(std::vector<uint8_t>(4));
  expect_error([&] { writer.commit(); }, {"\"m\"", "expected 8 bytes, got 4"});
  expect_error([&] { writer.write(std::vector<uint8_t>(5)); }, {"\"m\"", "expected 8 bytes, got 9"});
  EXPECT_EQ(test::read_bytes(path_), good_) << "what was there stays";
}

}  // namespace
}  // namespace rotor
