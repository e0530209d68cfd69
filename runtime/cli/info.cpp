// rotor info: what is in a .rotor file, a safetensors file or a checkpoint directory.
#include <cstdio>
#include <filesystem>

#include "rotor/core/error.h"
#include "rotor/core/tiles.h"
#include "rotor/formats/checkpoint.h"
#include "rotor/formats/config_json.h"
#include "rotor/formats/gguf.h"
#include "rotor/formats/json.h"
#include "rotor/formats/rotor_file.h"
#include "rotor/tool/options.h"
#include "rotor/tool/progress.h"
#include "runtime/cli/commands.h"

namespace rotor::runtime::cli {
namespace {

constexpr const char* kExamples =
    "  rotor info fashion.rotor                            architecture, tensors, share of zeros\n"
    "  rotor info --json runs/fashion-mlp/checkpoint       the same of a checkpoint, for scripts\n";

Json tensor_json(const TensorInfo& tensor) {
  return {{"name", tensor.name},
          {"dtype", dtype_name(tensor.dtype)},
          {"shape", tensor.shape},
          {"bytes", tensor.end - tensor.begin}};
}

Json describe(const SafetensorsFile& file) {
  Json json = {{"format", "safetensors"}, {"file_bytes", file.file_bytes()}, {"tensors", Json::array()}};
  for (const TensorInfo& tensor : file.tensors()) json["tensors"].push_back(tensor_json(tensor));
  return json;
}

Json describe(const RotorFile& file) {
  Json json = {{"format", "rotor"},
               {"file_bytes", file.container().file_bytes()},
               {"config", parse_json(model_config_to_json(file.config()), file.path())},
               {"parameters", num_parameters(tensor_table(file.config()))},
               {"tensors", Json::array()}};
  if (file.config().is_transformer()) {
    const TransformerConfig& t = file.config().transformer;
    const auto kv_bytes =
        2 * t.num_hidden_layers * t.key_value_size() * static_cast<int64_t>(dense_bytes(DenseType::f16));
    json["kv_bytes_per_token"] = kv_bytes;
    json["context"] = t.max_position_embeddings;
    json["memory_bytes"] =
        static_cast<int64_t>(file.container().file_bytes()) + kv_bytes * t.max_position_embeddings;
  }
  for (const auto& [key, value] : file.container().metadata()) {
    const bool of_a_tensor =
        key.starts_with(rotor_key::kChecksumPrefix) || key.starts_with(rotor_key::kShapePrefix);
    if (!of_a_tensor && key != rotor_key::kConfig) json["metadata"][key] = value;
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
Json describe(const GgufFile& file) {
  Json json = {{"format", "gguf"}, {"file_bytes", file.file_bytes()}, {"tensors", Json::array()}};
  for (const std::string& key : file.keys()) {
    if (const auto text = file.describe(key)) json["metadata"][key] = *text;
  }
  for (const GgufTensorInfo& tensor : file.tensors()) {
    json["tensors"].push_back({{"name", tensor.name},
                               {"dtype", gguf_type_name(tensor.type)},
                               {"shape", tensor.shape},
                               {"bytes", tensor.end - tensor.begin}});
  }
  file.check_intact();
  return json;
}

Json describe(const std::string& path) {
  if (std::filesystem::is_directory(path)) {
    const Checkpoint checkpoint(path);
    Json json = describe(checkpoint.shards().front());
    for (size_t i = 1; i < checkpoint.shards().size(); ++i) {
      const Json shard = describe(checkpoint.shards()[i]);
      json["file_bytes"] = json["file_bytes"].get<size_t>() + shard["file_bytes"].get<size_t>();
      for (const Json& tensor : shard["tensors"]) json["tensors"].push_back(tensor);
    }
    json["format"] = "checkpoint";
    json["source"] = checkpoint.format();
    json["config"] = parse_json(model_config_to_json(checkpoint.config()), path);
    json["parameters"] = num_parameters(tensor_table(checkpoint.config()));
    return json;
  }
  if (MappedFile(path).text().starts_with("GGUF")) return describe(GgufFile(path));
  const bool is_rotor = SafetensorsFile(path).metadata().contains(rotor_key::kFormatVersion);
  return is_rotor ? describe(RotorFile(path)) : describe(SafetensorsFile(path));
}

void print(const std::string& path, const Json& json) {
  std::printf("%s: %s, %s\n", path.c_str(), json["format"].get<std::string>().c_str(),
              tool::bytes_text(json["file_bytes"].get<double>()).c_str());
  if (json.contains("parameters")) std::printf("  parameters: %lld\n", json["parameters"].get<long long>());
  if (json.contains("memory_bytes")) {
    std::printf("  memory: %s in all with a context of %lld tokens; a token takes %s of it (f16)\n",
                tool::bytes_text(json["memory_bytes"].get<double>()).c_str(),
                json["context"].get<long long>(),
                tool::bytes_text(json["kv_bytes_per_token"].get<double>()).c_str());
  }
  for (const char* block : {"metadata", "config"}) {
    if (!json.contains(block)) continue;
    for (const auto& [key, value] : json[block].items()) {
      std::printf("  %s: %s\n", tool::printable(key).c_str(),
                  tool::printable(value.is_string() ? value.get<std::string>() : dump_json(value)).c_str());
    }
  }
  for (const Json& tensor : json["tensors"]) {
    std::printf("  %-28s %-8s %-16s %10s", tool::printable(tensor["name"].get<std::string>()).c_str(),
                tensor["dtype"].get<std::string>().c_str(),
                shape_text(tensor["shape"].get<std::vector<int64_t>>()).c_str(),
                tool::bytes_text(tensor["bytes"].get<double>()).c_str());
    if (tensor.contains("sparsity")) {
      std::printf("   %4.1f %% zeros", 100 * tensor["sparsity"].get<double>());
      if (tensor.contains("scale")) std::printf(", scale %.6g", tensor["scale"].get<double>());
    }
    std::printf("\n");
  }
}

}  // namespace

int info(int argc, char** argv) {
  cxxopts::Options options("rotor info",
                           "Describes a .rotor file, a safetensors file or a checkpoint directory.");
  options.add_options()("model", "file or directory", cxxopts::value<std::string>())("json", "print JSON");
  const auto parsed = tool::parse_options(options, argc, argv, {"model"}, kExamples);
  if (!parsed) return 0;
  const auto path = (*parsed)["model"].as<std::string>();
  const Json json = describe(path);
  if (parsed->count("json") != 0) {
    std::printf("%s\n", dump_json(json, 2).c_str());
  } else {
    print(path, json);
  }
  return 0;
}

}  // namespace rotor::runtime::cli
