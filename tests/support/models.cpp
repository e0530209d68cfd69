// Random checkpoints and generated images.
#include "tests/support/models.h"

#include <algorithm>
#include <filesystem>

#include "export/convert.h"
#include "rotor/core/error.h"
#include "rotor/formats/checkpoint.h"
#include "tests/support/golden.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace rotor::test {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kQwen2 = "qwen2-";

/// The folder of tests/golden that holds a variant.
std::string golden_folder(const std::string& variant) {
  if (variant == "packed" || variant == "online") return "bitnet-tiny";
  return variant.starts_with(kQwen2) ? "qwen2" : "bitnet-options";
}

/// Variants share files: tests/golden/qwen2/README.md.
void write_golden_qwen2(const std::string& directory, const std::string& variant) {
  const auto copy = [&](const std::string& from, const std::string& to) {
    fs::copy_file(golden_path("qwen2/" + from), directory + "/" + to);
  };
  copy(variant + ".json", kConfigFile);
  if (variant == "float-untied" || variant == "online") {
    copy("index.json", kIndexFile);
    copy("layers.safetensors", "layers.safetensors");
    copy("head.safetensors", "head.safetensors");
  } else {
    copy(variant == "float-tied" ? "layers.safetensors" : "packed.safetensors", kWeightsFile);
  }
}

}  // namespace

ModelConfig small_mlp(Activation activation, Quantization quantization, bool bias) {
  ModelConfig config;
  config.quantization = quantization;
  config.mlp.layer_sizes = {64, 37, 18, 10};
  config.mlp.activation = activation;
  config.mlp.bias = bias;
  config.mlp.dropout = 0.1;
  config.mlp.input_mean = 0.26;  // no pixel value falls on the sign threshold
  config.mlp.input_std = 0.3;
  return config;
}

std::vector<std::pair<Activation, Quantization>> mlp_kinds() {
  return {{Activation::relu, Quantization::ternary},
          {Activation::relu2, Quantization::ternary},
          {Activation::sign, Quantization::ternary},
          {Activation::relu, Quantization::none},
          {Activation::sign, Quantization::none}};
}

std::string kind_name(const std::pair<Activation, Quantization>& kind) {
  return std::string(name(kind.first)) + "_" + name(kind.second);
}

ModelConfig small_transformer(const std::string& model_type, Quantization quantization) {
  ModelConfig config;
  config.model_type = model_type;
  config.quantization = quantization;
  TransformerConfig& t = config.transformer;
  t.vocab_size = 101;
  t.hidden_size = 40;
  t.intermediate_size = 72;
  t.num_hidden_layers = 3;
  t.num_attention_heads = 4;
  t.num_key_value_heads = 2;
  t.head_dim = 10;
  t.max_position_embeddings = 64;
  if (model_type == "llama") {
    t.hidden_act = Activation::silu;
    t.tie_word_embeddings = false;
    t.rope_theta = 10000.0;
  } else if (model_type == "qwen2") {
    t.hidden_act = Activation::silu;
  }
  return config;
}

std::vector<TransformerKind> transformer_kinds() {
  std::vector<TransformerKind> kinds;
  for (const char* type : {"qwen2", "bitnet", "llama"}) {
    for (const Quantization quantization : {Quantization::ternary, Quantization::none}) {
      kinds.push_back({cat(type, "_", name(quantization)), small_transformer(type, quantization)});
    }
    ModelConfig config = small_transformer(type);
    TransformerConfig& t = config.transformer;
    t.use_rms_norm = true;
    t.linear_norm_eps = 1e-3;
    t.modules_to_not_convert = {"v_proj", "model.layers.1.mlp", "model.layers.2.*gate_proj"};
    t.ternary_head = !t.tie_word_embeddings;
    if (!t.ternary_head) t.modules_to_not_convert->emplace_back("lm_head");
    kinds.push_back({cat(type, "_options"), config});
  }
  return kinds;
}

std::ostream& operator<<(std::ostream& out, const TransformerKind& kind) {
  return out << kind.name;
}

std::vector<std::string> golden_transformers() {
  return {"packed",
          "online",
          "bitnet-online",
          "bitnet-packed",
          "llama-packed",
          "qwen2-float-tied",
          "qwen2-float-untied",
          "qwen2-online",
          "qwen2-packed",
          "qwen2-packed-bitlinear"};
}

SafetensorsFile golden_transformer_outputs(const std::string& variant) {
  return open_golden(golden_folder(variant) + "/expected.safetensors");
}

void write_golden_transformer(const std::string& directory, const std::string& variant) {
  fs::create_directories(directory);
  const std::string folder = golden_folder(variant);
  if (folder == "qwen2") return write_golden_qwen2(directory, variant.substr(kQwen2.size()));
  if (folder == "bitnet-options") {
    for (const char* file : {"config.json", "model.safetensors"}) {
      fs::copy_file(golden_path(cat("bitnet-options/", variant, "/", file)), cat(directory, "/", file));
    }
    return;
  }
  const std::string suffix = variant == "online" ? "-bf16" : "";
  fs::copy_file(golden_path("bitnet-tiny/config" + suffix + ".json"), directory + "/config.json");
  fs::copy_file(golden_path("bitnet-tiny/model" + suffix + ".safetensors"), directory + "/model.safetensors");
}

void write_random_checkpoint(const std::string& directory, const ModelConfig& config, uint64_t seed) {
  std::filesystem::create_directories(directory);
  Random random(seed);
  std::vector<float> values;
  write_checkpoint(directory, config, [&](const TensorSpec& spec) -> std::span<const float> {
    size_t count = 1;
    for (const int64_t size : spec.shape) count *= static_cast<size_t>(size);
    values = random.normals(count);
    if (spec.name.ends_with("norm.weight")) {
      for (float& v : values) v = 1.0F + 0.1F * v;
    }
    return values;
  });
}

void write_random_model(const std::string& path, const ModelConfig& config, uint64_t seed,
                        DenseFormat dense) {
  const TempDir directory;
  write_random_checkpoint(directory.file("checkpoint"), config, seed);
  exporting::export_rotor(Checkpoint(directory.file("checkpoint")), path,
                          {.head = dense.type, .head_screening = dense.screening}, [](const auto&) {});
}

std::string idx_bytes(const std::vector<uint32_t>& shape, const std::vector<uint8_t>& data) {
  std::string bytes = {0, 0, 8, static_cast<char>(shape.size())};
  for (const uint32_t size : shape) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(size >> shift & 255));
  }
  bytes.append(data.begin(), data.end());
  return bytes;
}

void write_idx_dataset(const std::string& directory, int64_t train_count, int64_t test_count, int64_t side) {
  std::filesystem::create_directories(directory);
  Random random(7);
  const auto pixels = static_cast<size_t>(side * side);
  std::vector<std::vector<float>> prototypes(10);
  for (auto& prototype : prototypes) prototype = random.normals(pixels);
  for (const auto& [prefix, count] : {std::pair{"train", train_count}, std::pair{"t10k", test_count}}) {
    std::vector<uint8_t> images;
    std::vector<uint8_t> labels;
    for (int64_t i = 0; i < count; ++i) {
      labels.push_back(static_cast<uint8_t>(random.integer(0, 9)));
      for (size_t p = 0; p < pixels; ++p) {
        const float value = 100.0F + 40.0F * prototypes[labels.back()][p] + 40.0F * random.normal();
        images.push_back(static_cast<uint8_t>(std::clamp(value, 0.0F, 255.0F)));
      }
    }
    const auto n = static_cast<uint32_t>(count);
    const auto s = static_cast<uint32_t>(side);
    write_bytes(directory + "/" + prefix + "-images-idx3-ubyte", idx_bytes({n, s, s}, images));
    write_bytes(directory + "/" + prefix + "-labels-idx1-ubyte", idx_bytes({n}, labels));
  }
}

}  // namespace rotor::test
