// LoRA adapters: those that PEFT wrote, what Rotor writes read back, and every way in which one can be bad.
#include "rotor/formats/peft_adapter.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>

#include "rotor/formats/checkpoint.h"
#include "rotor/formats/json.h"
#include "tests/support/golden.h"
#include "tests/support/models.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace rotor {
namespace {

namespace fs = std::filesystem;
using test::expect_error;

ModelConfig bitnet_config() {
  const test::TempDir dir;
  test::write_golden_transformer(dir.file("base"), "bitnet-online");
  return Checkpoint(dir.file("base")).config();
}

TEST(PeftAdapter, GoldenAllLinearWithPatterns) {
  const PeftAdapter adapter(test::golden_path("peft/bitnet-a"));
  EXPECT_EQ(adapter.layers().size(), 14U);
  EXPECT_EQ(adapter.config().base_model, "bitnet");
  EXPECT_EQ(adapter.config().base_fingerprint, "");
  adapter.check_shapes(bitnet_config(), "base");
  const auto rank_and_scale = [&](const std::string& module) {
    const LoraLayer* layer = adapter.find("model.layers." + module);
    return layer == nullptr ? std::pair<int64_t, float>() : std::pair(layer->rank, layer->scale);
  };
  EXPECT_EQ(rank_and_scale("0.self_attn.q_proj"), std::pair(int64_t{8}, 6.0F / 8));
  EXPECT_EQ(rank_and_scale("0.self_attn.o_proj"), std::pair(int64_t{4}, 10.0F / 4));
  EXPECT_EQ(rank_and_scale("1.self_attn.o_proj"), std::pair(int64_t{4}, 6.0F / 4));
  EXPECT_EQ(rank_and_scale("0.mlp.down_proj"), std::pair(int64_t{4}, 6.0F / 4));
  EXPECT_EQ(rank_and_scale("1.mlp.down_proj"), std::pair(int64_t{3}, 2.0F));
  EXPECT_EQ(adapter.find("model.layers.2.mlp.down_proj"), nullptr);
}

TEST(PeftAdapter, GoldenRegularExpressionAndRslora) {
  const PeftAdapter adapter(test::golden_path("peft/bitnet-b"));
  adapter.check_shapes(bitnet_config(), "base");
  EXPECT_EQ(adapter.layers().size(), 6U);
  EXPECT_EQ(adapter.layers()[0].a->dtype, DType::f16);
  EXPECT_EQ(adapter.layers()[0].scale, 1.0F);  // 4 / sqrt(16)
}

TEST(PeftAdapter, GoldenNamesAndExclusions) {
  const test::TempDir dir;
  test::write_golden_transformer(dir.file("base"), "qwen2-float-tied");
  const PeftAdapter adapter(test::golden_path("peft/qwen2-a"));
  adapter.check_shapes(Checkpoint(dir.file("base")).config(), "base");
  EXPECT_EQ(adapter.layers().size(), 8U);
  EXPECT_EQ(adapter.find("model.layers.1.self_attn.k_proj"), nullptr);
  EXPECT_EQ(adapter.layers()[0].a->dtype, DType::bf16);
  expect_error(
      [&] { adapter.check_shapes(bitnet_config(), "the other base"); },
      {"adapter_model.safetensors", "model.layers.0", "[64, 96]", "the other base", "lora_A [5, 48]"});
}

/// An adapter of two layers of test::small_transformer(), random, in a directory.
class WrittenAdapter : public ::testing::Test {
 protected:
  WrittenAdapter() {
    test::Random random(3);
    config_.rank = 2;
    config_.alpha = 3;
    config_.targets.names = {"q_proj", "model.layers.1.mlp.down_proj"};
    config_.rank_pattern = {{"down_proj", 5}};
    config_.base_model = "models/base";
    config_.base_fingerprint = "0123456789abcdef";
    for (const auto& [module, in, out] : {std::tuple("model.layers.0.self_attn.q_proj", 40, 40),
                                          std::tuple("model.layers.1.self_attn.q_proj", 40, 40),
                                          std::tuple("model.layers.2.self_attn.q_proj", 40, 40),
                                          std::tuple("model.layers.1.mlp.down_proj", 72, 40)}) {
      const auto rank = static_cast<size_t>(config_.rank_of(module));
      values_.push_back(random.normals(rank * static_cast<size_t>(in)));
      values_.push_back(random.normals(rank * static_cast<size_t>(out)));
      layers_.push_back({module, in, out, {}, {}});
    }
    for (size_t i = 0; i < layers_.size(); ++i) {
      layers_[i].a = values_[2 * i];
      layers_[i].b = values_[2 * i + 1];
    }
  }
  void write(DType dtype = DType::f32) const { write_peft_adapter(dir_.path(), config_, layers_, dtype); }
  /// The config with some keys changed; null removes one.
  void change(const Json& changes) const {
    write();
    const std::string path = dir_.file(kAdapterConfigFile);
    Json json = read_json_file(path);
    json.merge_patch(changes);
    for (const auto& [key, value] : changes.items()) json[key] = value;
    test::write_bytes(path, dump_json(json));
  }
  void expect_refused(const std::string& key, const Json& value,
                      const std::vector<std::string>& parts) const {
    SCOPED_TRACE(key);
    change({{key, value}});
    std::vector<std::string> all = parts;
    all.insert(all.end(), {kAdapterConfigFile, key});
    expect_error([&] { PeftAdapter(dir_.path()).check_shapes(test::small_transformer(), "base"); }, all);
  }

  test::TempDir dir_;
  LoraConfig config_;
  std::vector<std::vector<float>> values_;
  std::vector<LoraMatrices> layers_;
};

TEST_F(WrittenAdapter, ReadsBack) {
  write();
  const PeftAdapter adapter(dir_.path());
  adapter.check_shapes(test::small_transformer(), "base");
  EXPECT_EQ(adapter.config().base_model, "models/base");
  EXPECT_EQ(adapter.config().base_fingerprint, "0123456789abcdef");
  EXPECT_EQ(adapter.config().targets.names, config_.targets.names);
  ASSERT_EQ(adapter.layers().size(), 4U);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const LoraLayer* layer = adapter.find(layers_[i].module);
    ASSERT_NE(layer, nullptr);
    EXPECT_EQ(adapter.read(*layer->a), values_[2 * i]);
    EXPECT_EQ(adapter.read(*layer->b), values_[2 * i + 1]);
    EXPECT_EQ(layer->scale, i == 3 ? 3.0F / 5 : 1.5F);
  }
}

TEST_F(WrittenAdapter, ReadsBackAllOfTheConfig) {
  config_.use_rslora = true;
  config_.dropout = 0.25;
  config_.alpha = 2.5;
  config_.alpha_pattern = {{"layers.1.mlp.down_proj", 7.0}, {"down_proj", 9.0}};
  config_.excluded.pattern = "nothing";
  config_.layers = {0, 1, 2};
  write();
  const PeftAdapter adapter(dir_.path());
  EXPECT_TRUE(adapter.config().use_rslora);
  EXPECT_EQ(adapter.config().dropout, 0.25);
  EXPECT_EQ(adapter.config().alpha, 2.5);
  EXPECT_EQ(adapter.config().alpha_pattern, config_.alpha_pattern);
  EXPECT_EQ(adapter.config().rank_pattern, config_.rank_pattern);
  EXPECT_EQ(adapter.config().excluded.pattern, "nothing");
  EXPECT_EQ(adapter.config().layers, config_.layers);
  EXPECT_FLOAT_EQ(adapter.find("model.layers.1.mlp.down_proj")->scale, 7.0F / std::sqrt(5.0F));
}

TEST_F(WrittenAdapter, SixteenBitsRoundEachValue) {
  for (const DType dtype : {DType::f16, DType::bf16}) {
    write(dtype);
    const PeftAdapter adapter(dir_.path());
    EXPECT_EQ(adapter.layers()[0].a->dtype, dtype);
    const auto found = adapter.read(*adapter.find(layers_[0].module)->a);
    for (size_t i = 0; i < found.size(); ++i) {
      const float wanted = dtype == DType::f16 ? f16_to_float(float_to_f16(values_[0][i]))
                                               : bf16_to_float(float_to_bf16(values_[0][i]));
      EXPECT_EQ(found[i], wanted);
    }
  }
  expect_error([&] { write(DType::u8); }, {"F32, F16 or BF16", "U8"});
}

TEST_F(WrittenAdapter, LayersToTransform) {
  config_.targets.names = {"q_proj"};
  config_.layers = {1};
  EXPECT_TRUE(config_.adapts("model.layers.1.self_attn.q_proj"));
  EXPECT_FALSE(config_.adapts("model.layers.10.self_attn.q_proj"));
  EXPECT_FALSE(config_.adapts("model.layers.0.self_attn.q_proj"));
  EXPECT_FALSE(config_.adapts("model.layers.1.self_attn.xq_proj"));
  config_.targets.names.emplace_back("model.layers.2.self_attn.k_proj");  // a whole name needs no number
  EXPECT_TRUE(config_.adapts("model.layers.2.self_attn.k_proj"));
}

TEST_F(WrittenAdapter, UnsupportedKeysAreErrors) {
  expect_refused("peft_type", "IA3", {"\"LORA\"", "\"IA3\""});
  expect_refused("use_dora", true, {"true"});
  expect_refused("modules_to_save", {"lm_head"}, {"[\"lm_head\"]"});
  expect_refused("bias", "all", {"\"none\"", "\"all\""});
  expect_refused("fan_in_fan_out", true, {"true"});
  expect_refused("layer_replication", {{0, 4}, {2, 5}}, {"[[0,4],[2,5]]"});
  expect_refused("trainable_token_indices", {1, 2}, {"[1,2]"});
  expect_refused("target_parameters", {"w"}, {"[\"w\"]"});
  expect_refused("alora_invocation_tokens", {5}, {"[5]"});
  expect_refused("lora_bias", true, {"true"});
  expect_refused("use_qalora", true, {"true"});
  expect_refused("megatron_config", {{"a", 1}}, {"{\"a\":1}"});
  expect_refused("something_new", 3, {"not supported", "3"});
  expect_refused("init_lora_weights", "pissa_niter_4", {"leave the base as it is", "pissa_niter_4"});
  expect_refused("layers_pattern", "h", {"\"layers\"", "\"h\""});
}

TEST_F(WrittenAdapter, BadValuesAreErrors) {
  expect_refused("r", 0, {"1 to 65536", "0"});
  expect_refused("r", 2.5, {"2.5"});
  expect_refused("r", 3, {"lora_A [3, in]", "[2, 40]"});
  expect_refused("lora_alpha", "big", {"a number", "\"big\""});
  expect_refused("lora_alpha", 1e300, {"float32"});
  expect_refused("use_rslora", 1, {"true or false", "1"});
  expect_refused("rank_pattern", {{"down_proj", "x"}}, {"down_proj", "\"x\""});
  expect_refused("rank_pattern", {{"(", 4}}, {"regular expression"});
  expect_refused("rank_pattern", {1}, {"an object"});
  expect_refused("target_modules", {1}, {"a list of names", "[1]"});
  expect_refused("target_modules", "(a", {"regular expression", "(a"});
  expect_refused("target_modules", "(.+)+[,;]", {"cannot match"});
  expect_refused("target_modules", {"k_proj"}, {"do not choose"});
  expect_refused("layers_to_transform", {-1}, {"numbers of layers", "[-1]"});
  expect_refused("base_model_name_or_path", 5, {"a string", "5"});
  expect_refused("rotor_base_fingerprint", 5, {"a string", "5"});
}

TEST_F(WrittenAdapter, ATargetWithoutTensorsIsAnError) {
  change({{"target_modules", {"q_proj", "down_proj"}}});
  expect_error([&] { PeftAdapter(dir_.path()).check_shapes(test::small_transformer(), "base"); },
               {"model.layers.0.mlp.down_proj.lora_A.weight", "is missing"});
  change({{"target_modules", "all-linear"}});
  expect_error([&] { PeftAdapter(dir_.path()).check_shapes(test::small_transformer(), "base"); },
               {"is missing", "base"});
  change({{"target_modules", nullptr}});
  PeftAdapter(dir_.path()).check_shapes(test::small_transformer(), "base");
}

TEST_F(WrittenAdapter, OtherBasesAreRefused) {
  write();
  const PeftAdapter adapter(dir_.path());
  adapter.check_fingerprint("0123456789abcdef", "base.rotor");
  expect_error([&] { adapter.check_fingerprint("fedcba9876543210", "base.rotor"); },
               {"rotor_base_fingerprint", "0123456789abcdef", "models/base", "base.rotor", "fedcba9876543210",
                "--any-base"});
  ModelConfig narrow = test::small_transformer();
  narrow.transformer.num_hidden_layers = 2;
  expect_error([&] { adapter.check_shapes(narrow, "base.rotor"); },
               {"model.layers.2.self_attn.q_proj", "base.rotor has no linear layer"});
  ModelConfig wide = test::small_transformer();
  wide.transformer.intermediate_size = 80;
  expect_error([&] { adapter.check_shapes(wide, "base.rotor"); }, {"[40, 80]", "[5, 72]"});
}

/// A safetensors file of tensors that are all [2, 40] but for those given by shape.
void write_tensors(const std::string& path, const std::vector<TensorDeclaration>& tensors,
                   float value = 1.0F) {
  SafetensorsWriter writer(path, {{"format", "pt"}}, tensors);
  for (const TensorDeclaration& tensor : tensors) {
    std::vector<uint8_t> bytes(tensor.bytes());
    if (tensor.dtype == DType::f32) {
      floats_to(DType::f32, std::vector<float>(bytes.size() / sizeof(float), value), bytes);
    }
    writer.write(bytes);
  }
  writer.commit();
}

TEST_F(WrittenAdapter, BadTensorsAreErrors) {
  write();
  const std::string path = dir_.file(kAdapterWeightsFile);
  const std::string module = "base_model.model.model.layers.0.self_attn.q_proj.";
  const TensorDeclaration a{module + "lora_A.weight", DType::f32, {2, 40}};
  const TensorDeclaration b{module + "lora_B.weight", DType::f32, {40, 2}};
  const auto refuse = [&](const std::vector<TensorDeclaration>& tensors,
                          const std::vector<std::string>& parts) {
    write_tensors(path, tensors);
    expect_error([&] { PeftAdapter(dir_.path()); }, parts);
  };
  refuse({}, {"at least one adapted layer"});
  refuse({a}, {"lora_B.weight", "is missing"});
  refuse({b}, {"lora_A.weight", "is missing"});
  refuse({a, b, {module + "lora_magnitude_vector.weight", DType::f32, {40}}}, {"DoRA"});
  refuse({a, b, {module + "lora_B.bias", DType::f32, {40}}}, {"lora_bias"});
  refuse({{"base_model.model.model.embed_tokens.lora_embedding_A", DType::f32, {2, 101}}}, {"embeddings"});
  refuse({{"base_model.model.lm_head.modules_to_save.weight", DType::f32, {2, 2}}}, {"modules_to_save"});
  refuse({{"model.layers.0.weight", DType::f32, {2, 2}}}, {"expected base_model.model.MODULE.lora_A.weight"});
  refuse({{a.name, DType::u8, {2, 40}}, b}, {"F32, F16 or BF16", "U8"});
  refuse({{a.name, DType::f32, {80}}, b}, {"a matrix", "[80]"});
  refuse({a, {b.name, DType::f32, {40, 3}}}, {"[out, 2]", "[40, 3]"});
  refuse({{a.name, DType::f32, {2, 0}}, b}, {"a matrix", "[2, 0]"});
  write_tensors(path, {a, b}, NAN);
  const PeftAdapter adapter(dir_.path());
  expect_error([&] { adapter.read(*adapter.layers()[0].a); }, {"lora_A.weight", "value 0", "finite", "nan"});
}

TEST_F(WrittenAdapter, HeadsAreRefused) {
  write();
  write_tensors(dir_.file(kAdapterWeightsFile),
                {{"base_model.model.lm_head.lora_A.weight", DType::f32, {2, 40}},
                 {"base_model.model.lm_head.lora_B.weight", DType::f32, {101, 2}}});
  Json json = read_json_file(dir_.file(kAdapterConfigFile));
  json["target_modules"] = {"lm_head"};
  test::write_bytes(dir_.file(kAdapterConfigFile), dump_json(json));
  const PeftAdapter adapter(dir_.path());
  expect_error([&] { adapter.check_shapes(test::small_transformer("llama"), "base"); },
               {"lm_head", "heads are not supported"});
}

TEST_F(WrittenAdapter, MissingFilesAreErrors) {
  expect_error([&] { PeftAdapter(dir_.file("nowhere")); }, {"nowhere", "expected a directory"});
  expect_error([&] { PeftAdapter(dir_.path()); }, {"no adapter_config.json"});
  write();
  fs::resize_file(dir_.file(kAdapterWeightsFile), 700);
  expect_error([&] { PeftAdapter(dir_.path()); }, {kAdapterWeightsFile});
  fs::remove(dir_.file(kAdapterWeightsFile));
  expect_error([&] { PeftAdapter(dir_.path()); }, {kAdapterWeightsFile});
  test::write_bytes(dir_.file("adapter_model.bin"), "x");
  expect_error([&] { PeftAdapter(dir_.path()); }, {"adapter_model.bin", "safe_serialization=True"});
  test::write_bytes(dir_.file(kAdapterConfigFile), "[]");
  expect_error([&] { PeftAdapter(dir_.path()); }, {kAdapterConfigFile, "JSON object"});
}

TEST_F(WrittenAdapter, WriterChecksWhatItIsGiven) {
  layers_[0].a = layers_[0].a.first(79);
  expect_error([&] { write(); }, {"model.layers.0.self_attn.q_proj.lora_A.weight", "[2, 40]", "79"});
  layers_[0].module = "model.layers.0.self_attn.v_proj";
  expect_error([&] { write(); }, {"v_proj", "does not choose"});
}

}  // namespace
}  // namespace rotor
