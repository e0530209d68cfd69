// From format to format: ternary values, scales and everything else come back bit for bit, or the export
// says by name what cannot.
#include <gtest/gtest.h>

#include <filesystem>

#include "export/convert.h"
#include "rotor/core/error.h"
#include "rotor/core/quantize.h"
#include "rotor/formats/json.h"
#include "rotor/formats/rotor_source.h"
#include "tests/support/golden.h"
#include "tests/support/models.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace rotor::exporting {
namespace {

using test::expect_error;
using test::TempDir;

void ignore(const ExportedTensor&) {}

void to_rotor(const std::string& source, const std::string& path) {
  const OpenedSource opened = open_source(source, {});
  export_rotor(*opened.model, opened.text, path, {.head = DenseType::f32}, ignore);
}
void to_hf(const std::string& source, const std::string& path, const HfOptions& options = {}) {
  const OpenedSource opened = open_source(source, {});
  export_hf(*opened.model, opened.text, path, options, ignore);
}
void to_gguf(const std::string& source, const std::string& path, const GgufExportOptions& options = {}) {
  const OpenedSource opened = open_source(source, {});
  export_gguf(*opened.model, opened.text, path, options, ignore);
}

/// Name, type, shape and bytes of every tensor, and the keys of config.json that a reader computes with.
void expect_same_checkpoint(const std::string& found, const std::string& expected) {
  const SafetensorsFile a(found + "/model.safetensors");
  const SafetensorsFile b(expected + "/model.safetensors");
  EXPECT_EQ(a.tensors().size(), b.tensors().size());
  for (const TensorInfo& tensor : b.tensors()) {
    SCOPED_TRACE(tensor.name);
    const TensorInfo* other = a.find(tensor.name);
    ASSERT_NE(other, nullptr);
    EXPECT_EQ(other->dtype, tensor.dtype);
    EXPECT_EQ(other->shape, tensor.shape);
    EXPECT_TRUE(std::ranges::equal(a.bytes(*other), b.bytes(tensor)));
  }
  const Json one = read_json_file(found + "/config.json");
  const Json two = read_json_file(expected + "/config.json");
  for (const char* key : {"quantization_config", "model_type", "hidden_act", "rms_norm_eps", "rope_theta",
                          "tie_word_embeddings", "torch_dtype", "bos_token_id", "eos_token_id",
                          "max_position_embeddings", "num_key_value_heads", "architectures"}) {
    EXPECT_EQ(one.value(key, Json()), two.value(key, Json())) << key;
  }
}

/// A packed checkpoint of bfloat16 floats with widths that every format takes.
ModelConfig wide_config(const std::string& model_type, Activation activation) {
  ModelConfig config = test::small_transformer(model_type);
  TransformerConfig& t = config.transformer;
  t.hidden_size = 256;
  t.intermediate_size = 512;
  t.num_hidden_layers = 2;
  t.num_attention_heads = 4;
  t.num_key_value_heads = 2;
  t.head_dim = 64;
  t.hidden_act = activation;
  return config;
}

/// Random masters, packed with floats as bfloat16, so that scales are ones that every format holds.
void write_packed(const TempDir& dir, const std::string& name, const ModelConfig& config) {
  test::write_random_checkpoint(dir.file("masters-" + name), config);
  to_hf(dir.file("masters-" + name), dir.file(name), {.packed = true, .dtype = DType::bf16});
}

struct Architecture {
  const char* name;
  const char* model_type;
  Activation activation;
  bool tied;
};

class RoundTripTest : public ::testing::TestWithParam<std::tuple<Architecture, GgufType>> {};

INSTANTIATE_TEST_SUITE_P(
    Formats, RoundTripTest,
    ::testing::Combine(::testing::Values(Architecture{"bitnet", "bitnet", Activation::silu, true},
                                         Architecture{"b158", "bitnet", Activation::relu2, true},
                                         Architecture{"b158_untied", "bitnet", Activation::relu2, false},
                                         Architecture{"llama", "llama", Activation::silu, false},
                                         Architecture{"qwen2", "qwen2", Activation::silu, true},
                                         Architecture{"qwen2_untied", "qwen2", Activation::silu, false}),
                       ::testing::Values(GgufType::tq1_0, GgufType::tq2_0, GgufType::i2_s)),
    [](const auto& param) {
      return std::string(std::get<0>(param.param).name) + "_" + gguf_type_name(std::get<1>(param.param));
    });

TEST_P(RoundTripTest, PackedToRotorToGgufToRotorToPackedIsTheIdentity) {
  const auto& [architecture, type] = GetParam();
  ModelConfig config = wide_config(architecture.model_type, architecture.activation);
  config.transformer.tie_word_embeddings = architecture.tied;
  const TempDir dir;
  write_packed(dir, "first", config);
  to_rotor(dir.file("first"), dir.file("a.rotor"));
  to_gguf(dir.file("a.rotor"), dir.file("m.gguf"), {.ternary = type});
  const GgufFile gguf(dir.file("m.gguf"));
  const std::string name =
      architecture.activation == Activation::relu2 ? "bitnet-b1.58" : architecture.model_type;
  EXPECT_EQ(gguf.text("general.architecture"), name);
  to_rotor(dir.file("m.gguf"), dir.file("b.rotor"));
  to_hf(dir.file("b.rotor"), dir.file("last"));
  expect_same_checkpoint(dir.file("last"), dir.file("first"));
}

TEST(RoundTrip, PublishedFormIsTheIdentity) {
  const TempDir dir;
  const std::string golden = test::golden_path("bitnet-256");
  to_rotor(golden, dir.file("a.rotor"));
  to_gguf(dir.file("a.rotor"), dir.file("m.gguf"), {.ternary = GgufType::tq1_0});
  to_rotor(dir.file("m.gguf"), dir.file("b.rotor"));
  to_hf(dir.file("b.rotor"), dir.file("last"));
  expect_same_checkpoint(dir.file("last"), golden);
}

// Scales that no binary16 equals stand beside the matrix where llama.cpp's loader looks for them.
TEST(RoundTrip, ScalesOfTrainedModelsSurvive) {
  const TempDir dir;
  test::write_random_checkpoint(dir.file("c"), wide_config("bitnet", Activation::silu));
  to_rotor(dir.file("c"), dir.file("a.rotor"));
  const RotorSource before(dir.file("a.rotor"));
  for (const GgufType type : {GgufType::tq1_0, GgufType::tq2_0, GgufType::i2_s}) {
    SCOPED_TRACE(gguf_type_name(type));
    to_gguf(dir.file("a.rotor"), dir.file("m.gguf"), {.ternary = type});
    const GgufSource after(dir.file("m.gguf"));
    EXPECT_EQ(after.file().find("blk.1.ffn_down.scale") != nullptr, type != GgufType::i2_s);
    for (const TensorSpec& spec : tensor_table(before.config())) {
      SCOPED_TRACE(spec.name);
      if (is_ternary(before.config(), spec)) {
        EXPECT_EQ(after.scale(spec), before.scale(spec));
      } else {
        EXPECT_EQ(after.tensor(spec), before.tensor(spec));
      }
    }
  }
}

TEST(RoundTrip, MastersKeepCodesAndScales) {
  const TempDir dir;
  test::write_random_checkpoint(dir.file("c"), test::small_transformer());
  to_rotor(dir.file("c"), dir.file("a.rotor"));
  to_hf(dir.file("a.rotor"), dir.file("masters"), {.packed = false, .dtype = {}});
  const Checkpoint masters(dir.file("masters"));
  EXPECT_FALSE(masters.packed());
  const RotorSource before(dir.file("a.rotor"));
  for (const TensorSpec& spec : tensor_table(before.config())) {
    if (!is_ternary(before.config(), spec)) continue;
    SCOPED_TRACE(spec.name);
    const auto found = masters.ternary(spec);
    std::vector<int8_t> expected(found.codes.size());
    before.read_trits(spec, 0, spec.shape[0], expected);
    EXPECT_EQ(found.codes, expected);
    // These matrices are too small for the last bits of a scale (absmean_masters_test.cpp).
    EXPECT_NEAR(found.scale / before.scale(spec), 1.0F, 1e-5F);
  }
}

// transformers' AutoBitLinear multiplies the bias of packed codes by the scale too: files hold the quotient.
TEST(RoundTrip, BiasesOfPackedLayersAreDividedByTheScale) {
  ModelConfig config = test::small_transformer("qwen2");
  config.transformer.modules_to_not_convert = {"lm_head", "v_proj"};
  const TempDir dir;
  test::write_random_checkpoint(dir.file("c"), config);
  to_rotor(dir.file("c"), dir.file("a.rotor"));
  to_hf(dir.file("a.rotor"), dir.file("packed"));
  const RotorSource before(dir.file("a.rotor"));
  const Checkpoint after(dir.file("packed"));
  ASSERT_TRUE(after.packed());
  for (const char* layer : {"q_proj", "k_proj", "v_proj"}) {
    const std::string name = cat("model.layers.1.self_attn.", layer, ".bias");
    const auto bias = before.tensor({name, {before.file().container().at(name).shape}, TensorRole::vector});
    const auto stored = after.shards().front().read_as_float(after.shards().front().at(name));
    const auto read = after.tensor(name);
    const auto weight = ternary_of_bias(config, name);
    EXPECT_EQ(weight.has_value(), std::string(layer) != "v_proj");
    const float scale = weight ? before.scale(*weight) : 1.0F;
    EXPECT_NE(scale, weight ? 1.0F : 0.0F);
    for (size_t i = 0; i < bias.size(); ++i) {
      EXPECT_EQ(stored[i], bias[i] / scale) << name;
      // A quotient and a product, each rounded by 2^-24 of itself.
      EXPECT_NEAR(read[i], bias[i], weight ? 0x1.01p-23F * std::fabs(bias[i]) : 0.0F) << name;
    }
  }
}

// A trained checkpoint keeps its latent weights.
TEST(RoundTrip, OwnMastersAreCopied) {
  const TempDir dir;
  test::write_random_checkpoint(dir.file("c"), test::small_transformer("llama"));
  to_hf(dir.file("c"), dir.file("copy"), {.packed = false, .dtype = {}});
  const Checkpoint before(dir.file("c"));
  const Checkpoint after(dir.file("copy"));
  for (const TensorSpec& spec : tensor_table(before.config())) {
    EXPECT_EQ(after.tensor(spec.name), before.tensor(spec.name)) << spec.name;
  }
  to_hf(dir.file("c"), dir.file("bf16"), {.packed = false, .dtype = DType::bf16});
  EXPECT_EQ(Checkpoint(dir.file("bf16")).shards().front().at("model.norm.weight").dtype, DType::bf16);
}

TEST(RoundTrip, FloatModelsAndMlpsGoToHf) {
  const TempDir dir;
  test::write_random_checkpoint(dir.file("twin"), test::small_transformer("llama", Quantization::none));
  to_rotor(dir.file("twin"), dir.file("twin.rotor"));
  to_hf(dir.file("twin.rotor"), dir.file("back"), {.packed = false, .dtype = {}});
  EXPECT_EQ(Checkpoint(dir.file("back")).config().quantization, Quantization::none);
  test::write_random_checkpoint(dir.file("mlp"), test::small_mlp());
  to_rotor(dir.file("mlp"), dir.file("mlp.rotor"));
  to_hf(dir.file("mlp.rotor"), dir.file("mlp-back"), {.packed = false, .dtype = {}});
  to_rotor(dir.file("mlp-back"), dir.file("again.rotor"));
  const RotorSource a(dir.file("mlp.rotor"));
  const RotorSource b(dir.file("again.rotor"));
  for (const TensorSpec& spec : tensor_table(a.config())) {
    if (!is_ternary(a.config(), spec)) {
      EXPECT_EQ(a.tensor(spec), b.tensor(spec)) << spec.name;
      continue;
    }
    std::vector<int8_t> one(static_cast<size_t>(spec.shape[0] * spec.shape[1]));
    std::vector<int8_t> two(one.size());
    a.read_trits(spec, 0, spec.shape[0], one);
    b.read_trits(spec, 0, spec.shape[0], two);
    EXPECT_EQ(one, two) << spec.name;
  }
}

TEST(RoundTrip, HeadsOfGgufFiles) {
  const TempDir dir;
  write_packed(dir, "c", wide_config("bitnet", Activation::silu));
  const Checkpoint checkpoint(dir.file("c"));
  const TensorSpec embedding = tensor_table(checkpoint.config()).front();
  const auto expected = checkpoint.tensor(embedding.name);
  for (const GgufType type : {GgufType::f32, GgufType::f16, GgufType::bf16, GgufType::q8_0}) {
    SCOPED_TRACE(gguf_type_name(type));
    to_gguf(dir.file("c"), dir.file("m.gguf"), {.head = type});
    const GgufSource source(dir.file("m.gguf"));
    EXPECT_EQ(source.file().find("token_embd.weight")->type, type);
    const auto found = source.tensor(embedding);
    for (size_t block = 0; block < found.size() / 32; ++block) {
      const auto values = std::span(expected).subspan(32 * block, 32);
      float largest = 0.0F;
      for (const float v : values) largest = std::max(largest, std::fabs(v));
      // Q8_0: half a step of largest / 127, and the step rounded to binary16. F16 loses what lies below its
      // smallest numbers.
      const float tolerance = type == GgufType::q8_0  ? largest * (0.5F / 127 + 1.0F / 2048)
                              : type == GgufType::f16 ? 0x1p-25F
                                                      : 0.0F;
      for (size_t i = 0; i < 32; ++i) ASSERT_NEAR(found[32 * block + i], values[i], tolerance);
    }
  }
}

TEST(Export, WhatAFormatCannotHoldIsNamed) {
  const TempDir dir;
  const auto refused = [&](const ModelConfig& config, const GgufExportOptions& options,
                           const std::vector<std::string>& parts) {
    std::filesystem::remove_all(dir.file("c"));
    test::write_random_checkpoint(dir.file("c"), config);
    expect_error([&] { to_gguf(dir.file("c"), dir.file("m.gguf"), options); }, parts);
    EXPECT_FALSE(std::filesystem::exists(dir.file("m.gguf")));
  };
  refused(test::small_mlp(), {}, {"mlp", "rotor or hf"});
  refused(test::small_transformer("llama", Quantization::none), {}, {"float model", "--ternarize"});
  ModelConfig config = wide_config("llama", Activation::silu);
  refused(config, {}, {"q_proj", "TQ2_0", "float16", "--type i2_s", "--round-scales"});
  config.transformer.hidden_act = Activation::relu2;
  refused(config, {}, {"llama with relu2", "hf"});
  config = test::small_transformer("qwen2");
  config.transformer.head_dim = 12;
  refused(config, {}, {"qwen2", "hidden_size (40)", "48", "hf-packed"});
  config = wide_config("bitnet", Activation::silu);
  config.transformer.tie_word_embeddings = false;
  refused(config, {}, {"bitnet", "lm_head", "hf-packed"});
  config = wide_config("bitnet", Activation::relu2);
  config.transformer.intermediate_size = 640;
  refused(config, {.ternary = GgufType::tq1_0, .round_scales = true},
          {"down_proj", "TQ1_0", "256", "640", "--type i2_s"});
  config.transformer.intermediate_size = 600;
  refused(config, {}, {"down_proj", "I2_S", "128", "600", "hf-packed"});
  config.transformer.tie_word_embeddings = false;
  config.transformer.ternary_head = true;
  refused(config, {}, {"ternary lm_head", "hf"});
  config = wide_config("bitnet", Activation::relu2);
  config.transformer.use_rms_norm = true;
  refused(config, {}, {"use_rms_norm", "hf-packed"});
  config.transformer.use_rms_norm = false;
  config.transformer.modules_to_not_convert = {"lm_head", "model.layers.0.mlp"};
  refused(config, {}, {"modules_to_not_convert", "hf-packed"});
  config = wide_config("llama", Activation::silu);
  config.transformer.hidden_size = 256;
  test::write_random_checkpoint(dir.file("l"), config);
  to_gguf(dir.file("l"), dir.file("l.gguf"), {.round_scales = true});
  EXPECT_EQ(GgufSource(dir.file("l.gguf")).format(), "GGUF, TQ2_0");
}

TEST(Export, HfDirectoriesAppearWholeOrNotAtAll) {
  const TempDir dir;
  test::write_random_checkpoint(dir.file("mlp"), test::small_mlp());
  expect_error([&] { to_hf(dir.file("mlp"), dir.file("out")); }, {"hf-packed", "mlp", "choose hf"});
  test::write_random_checkpoint(dir.file("c"), test::small_transformer());
  const OpenedSource source = open_source(dir.file("c"), {});
  const auto stop = [](const ExportedTensor& tensor) {
    if (tensor.name == "model.norm.weight") throw std::runtime_error("stopped");
  };
  EXPECT_THROW(export_hf(*source.model, source.text, dir.file("out"), {}, stop), std::runtime_error);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 2) << "nothing is left";
  std::filesystem::create_directory(dir.file("out"));
  test::write_bytes(dir.file("out/precious"), "text");
  expect_error([&] { to_hf(dir.file("c"), dir.file("out")); }, {"out", "not empty"});
  std::filesystem::remove(dir.file("out/precious"));
  to_hf(dir.file("c"), dir.file("out") + "/");
  EXPECT_TRUE(std::filesystem::exists(dir.file("out/config.json")));
}

// --ternarize: a float checkpoint becomes what training as a ternary model would begin with.
class TernarizeTest : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(ModelTypes, TernarizeTest, ::testing::Values("llama", "qwen2"));

TEST_P(TernarizeTest, FloatCheckpointsAreTernarized) {
  const TempDir dir;
  test::write_random_checkpoint(dir.file("c"), test::small_transformer(GetParam(), Quantization::none));
  const OpenedSource source = open_source(dir.file("c"), {.gguf = {}, .ternarize = true});
  export_rotor(*source.model, source.text, dir.file("m.rotor"), {.head = DenseType::f32}, ignore);
  const RotorSource made(dir.file("m.rotor"));
  const Checkpoint checkpoint(dir.file("c"));
  for (const TensorSpec& spec : tensor_table(made.config())) {
    SCOPED_TRACE(spec.name);
    const auto weights = checkpoint.tensor(spec.name);
    if (!is_ternary(made.config(), spec)) {
      EXPECT_EQ(made.tensor(spec), weights);
      continue;
    }
    std::vector<int8_t> expected(weights.size());
    EXPECT_EQ(made.scale(spec), quantize_absmean(weights, expected).scale);
    std::vector<int8_t> found(weights.size());
    made.read_trits(spec, 0, spec.shape[0], found);
    EXPECT_EQ(found, expected);
  }
  export_hf(*source.model, source.text, dir.file("hf"), {.packed = false, .dtype = {}}, ignore);
  EXPECT_EQ(read_json_file(dir.file("hf/config.json"))["quantization_config"]["quantization_mode"], "online");
  expect_error([&] { open_source(dir.file("hf"), {.gguf = {}, .ternarize = true}); }, {"ternary already"});
}

// Chat models name their end of turn in generation_config.json alone.
TEST(OpenSource, StopTokensAreThoseOfBothConfigs) {
  const TempDir dir;
  ModelConfig config = test::small_transformer();
  config.transformer.eos_token_ids = {7};
  test::write_random_checkpoint(dir.file("c"), config);
  EXPECT_EQ(open_source(dir.file("c"), {}).text.metadata.stop_tokens, std::vector<int32_t>{7});
  test::write_bytes(dir.file("c/generation_config.json"), R"({"eos_token_id": [7, 100]})");
  to_rotor(dir.file("c"), dir.file("m.rotor"));
  EXPECT_EQ(RotorFile(dir.file("m.rotor")).text().stop_tokens, (std::vector<int32_t>{7, 100}));
  to_hf(dir.file("m.rotor"), dir.file("hf"));
  EXPECT_EQ(read_json_file(dir.file("hf/generation_config.json"))["eos_token_id"],
            (std::vector<int>{7, 100}));
  test::write_bytes(dir.file("c/generation_config.json"), R"({"eos_token_id": 101})");
  expect_error([&] { open_source(dir.file("c"), {}); }, {"generation_config.json", "0 to 100", "101"});
}

TEST(OpenSource, WhatIsNoModelIsNamed) {
  const TempDir dir;
  expect_error([&] { open_source(dir.file("none"), {}); }, {"none", "no such file"});
  test::write_bytes(dir.file("text.txt"), "some text that is no model");
  expect_error([&] { open_source(dir.file("text.txt"), {}); }, {"text.txt", "GGUF file or a .rotor file"});
  test::write_random_checkpoint(dir.file("c"), test::small_transformer());
  expect_error([&] { open_source(dir.file("c/model.safetensors"), {}); }, {"name its directory"});
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1178000000\n";
  test::write_bytes(dir.file("c/model.safetensors"), pointer);
  expect_error([&] { open_source(dir.file("c"), {}); },
               {"model.safetensors", "Git LFS pointer", "1178000000 bytes", "lfs pull"});
  test::write_bytes(dir.file("m.gguf"), pointer);
  expect_error([&] { open_source(dir.file("m.gguf"), {}); }, {"m.gguf", "Git LFS pointer"});
  std::filesystem::remove(dir.file("c/model.safetensors"));
  expect_error([&] { open_source(dir.file("c"), {}); }, {"no weights", "scripts/download_bitnet.sh"});
  test::write_bytes(dir.file("c/model.safetensors.part"), "half");
  expect_error([&] { open_source(dir.file("c"), {}); }, {"model.safetensors.part", "half a download"});
  std::filesystem::create_directory(dir.file("d"));
  test::write_bytes(dir.file("d/m.gguf"), "GGUF");
  expect_error([&] { open_source(dir.file("d"), {}); }, {"d/m.gguf", "name the file itself"});
}

}  // namespace
}  // namespace rotor::exporting
