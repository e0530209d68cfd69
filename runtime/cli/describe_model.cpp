// One function a container; what is common to models is said by one.
#include "runtime/cli/describe_model.h"

#include <filesystem>

#include "rotor/core/error.h"
#include "rotor/core/tiles.h"
#include "rotor/formats/base_fingerprint.h"
#include "rotor/formats/checkpoint.h"
#include "rotor/formats/config_json.h"
#include "rotor/formats/gguf_source.h"
#include "rotor/formats/peft_adapter.h"
#include "rotor/formats/rotor_file.h"
#include "rotor/text/model_text.h"

namespace rotor::runtime::cli {
namespace {

Json tensor_json(const TensorInfo& tensor) {
  return {{"name", tensor.name},
          {"dtype", dtype_name(tensor.dtype)},
          {"shape", tensor.shape},
          {"bytes", tensor.end - tensor.begin}};
}

void describe_config(const ModelConfig& config, const std::string& path, Json& json) {
  json["config"] = parse_json(model_config_to_json(config), path);
  json["parameters"] = num_parameters(tensor_table(config));
}

void describe_text(const text::ModelText& text, Json& json) {
  json["tokenizer"] = text.tokenizer == nullptr ? Json()
                                                : Json{{"kind", text.tokenizer->kind()},
                                                       {"vocab_size", text.tokenizer->vocab_size()}};
  json["chat_template"] = text.metadata.chat_template ? Json(*text.metadata.chat_template) : Json();
  json["bos_token"] = text.metadata.bos_token ? Json(*text.metadata.bos_token) : Json();
  json["stop_tokens"] = text.metadata.stop_tokens;
}

Json describe(const SafetensorsFile& file) {
  Json json = {{"format", "safetensors"}, {"file_bytes", file.file_bytes()}, {"tensors", Json::array()}};
  for (const TensorInfo& tensor : file.tensors()) json["tensors"].push_back(tensor_json(tensor));
  return json;
}

Json describe(const RotorFile& file) {
  Json json = {
      {"format", "rotor"},
      {"file_bytes", file.container().file_bytes()},
      {"scale_convention", "weight = code * weight_scale"},
      {"fingerprint", file.config().is_encoder() ? embedding_fingerprint(file) : base_fingerprint(file)},
      {"tensors", Json::array()}};
  describe_config(file.config(), file.path(), json);
  if (file.config().is_transformer()) {
    const TransformerConfig& t = file.config().transformer;
    const auto kv_bytes =
        2 * t.num_hidden_layers * t.key_value_size() * static_cast<int64_t>(dense_bytes(DenseType::f16));
    json["kv_bytes_per_token"] = kv_bytes;
    json["context"] = t.max_position_embeddings;
    json["memory_bytes"] =
        static_cast<int64_t>(file.container().file_bytes()) + kv_bytes * t.max_position_embeddings;
  }
  if (file.config().is_transformer() || file.config().is_encoder()) {
    describe_text(text::model_text(file), json);
  }
  for (const auto& [key, value] : file.container().metadata()) {
    const bool of_a_tensor =
        key.starts_with(rotor_key::kChecksumPrefix) || key.starts_with(rotor_key::kShapePrefix);
    if (!of_a_tensor && key != rotor_key::kConfig && key != rotor_key::kChatTemplate) {
      json["metadata"][key] = value;
    }
  }
  for (const TensorInfo& tensor : file.container().tensors()) {
    if (tensor.name.starts_with(kPaddingPrefix)) continue;
    Json entry = tensor_json(tensor);
    if (file.container().metadata().contains(rotor_key::kShapePrefix + tensor.name)) {
      // The copy of a head has a scale a row, in a tensor of its own.
      const bool of_a_head = tensor.name.ends_with("_screen");
      const TernaryMatrix matrix = of_a_head ? file.head_screen().planes : file.ternary(tensor.name);
      const TritCounts counts =
          count_trits(matrix.tiles, static_cast<size_t>(matrix.rows), static_cast<size_t>(matrix.cols));
      entry["dtype"] = "ternary";
      entry["shape"] = {matrix.rows, matrix.cols};
      if (!of_a_head) entry["scale"] = matrix.scale;
      entry["sparsity"] = counts.sparsity();
    }
    json["tensors"].push_back(entry);
  }
  file.check_intact();
  return json;
}

/// Any GGUF file, also one that holds no model of ours.
Json describe_gguf(const std::string& path) {
  const GgufFile file(path);
  Json json = {{"format", "gguf"}, {"file_bytes", file.file_bytes()}, {"tensors", Json::array()}};
  for (const std::string& key : file.keys()) {
    if (const auto text = file.describe(key); text && key != "tokenizer.chat_template") {
      json["metadata"][key] = *text;
    }
  }
  for (const GgufTensorInfo& tensor : file.tensors()) {
    json["tensors"].push_back({{"name", tensor.name},
                               {"dtype", gguf_type_name(tensor.type)},
                               {"shape", tensor.shape},
                               {"bytes", tensor.end - tensor.begin}});
  }
  file.check_intact();
  try {
    const GgufSource source(path, {.i2s_order = I2sOrder::x86, .ignore_unknown = true});
    json["source"] = source.format();
    json["scale_convention"] = source.scale_convention();
    describe_config(source.config(), path, json);
    describe_text(text::model_text(source), json);
  } catch (const Error& e) {
    json["unreadable"] = e.what();
  }
  return json;
}

Json describe_checkpoint(const std::string& path) {
  const Checkpoint checkpoint(path, {.ignore_unknown = true, .ternarize = false});
  Json json = describe(checkpoint.shards().front());
  for (size_t i = 1; i < checkpoint.shards().size(); ++i) {
    const Json shard = describe(checkpoint.shards()[i]);
    json["file_bytes"] = json["file_bytes"].get<size_t>() + shard["file_bytes"].get<size_t>();
    for (const Json& tensor : shard["tensors"]) json["tensors"].push_back(tensor);
  }
  json["format"] = "checkpoint";
  json["source"] = checkpoint.format();
  json["scale_convention"] = checkpoint.scale_convention();
  describe_config(checkpoint.config(), path, json);
  if (checkpoint.config().is_transformer() || checkpoint.config().is_encoder())
    describe_text(text::model_text(checkpoint), json);
  return json;
}

Json describe_adapter(const std::string& path) {
  const PeftAdapter adapter(path);
  Json json = describe(adapter.weights());
  const LoraConfig& config = adapter.config();
  json["format"] = "adapter";
  json["source"] = "LoRA adapter (PEFT)";
  json["base_model"] = config.base_model.empty() ? Json() : Json(config.base_model);
  json["base_fingerprint"] = config.base_fingerprint.empty() ? Json() : Json(config.base_fingerprint);
  json["config"] = read_json_file(path + "/" + kAdapterConfigFile);
  std::erase_if(json["config"].get_ref<Json::object_t&>(), [](const auto& entry) {
    return entry.second.is_null() || entry.first == kBaseFingerprintKey;
  });
  int64_t parameters = 0;
  json["layers"] = Json::array();
  for (const LoraLayer& layer : adapter.layers()) {
    parameters += layer.rank * (layer.inputs + layer.outputs);
    json["layers"].push_back({{"module", layer.module}, {"rank", layer.rank}, {"scale", layer.scale}});
  }
  json["parameters"] = parameters;
  return json;
}

}  // namespace

Json describe_model(const std::string& path) {
  if (std::filesystem::exists(path + "/" + kAdapterConfigFile)) return describe_adapter(path);
  if (std::filesystem::is_directory(path)) return describe_checkpoint(path);
  if (MappedFile(path).text().starts_with("GGUF")) return describe_gguf(path);
  const bool is_rotor = SafetensorsFile(path).metadata().contains(rotor_key::kFormatVersion);
  return is_rotor ? describe(RotorFile(path)) : describe(SafetensorsFile(path));
}

}  // namespace rotor::runtime::cli
