// Names of tensors: "base_model.model." + module + ".lora_A.weight" (PEFT 0.21.2, utils/save_and_load.py).
#include "rotor/formats/peft_adapter.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "rotor/core/dense.h"
#include "rotor/core/error.h"
#include "rotor/formats/atomic_file.h"
#include "rotor/formats/lfs_pointer.h"
#include "rotor/formats/mapped_file.h"

namespace rotor {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "base_model.model.";
constexpr std::string_view kA = ".lora_A.weight";
constexpr std::string_view kB = ".lora_B.weight";
constexpr std::string_view kWeight = ".weight";

LoraConfig read_config(const std::string& directory) {
  const std::string path = directory + "/" + kAdapterConfigFile;
  if (!fs::is_directory(directory)) fail(directory, ": expected a directory with ", kAdapterConfigFile);
  if (!fs::exists(path)) {
    fail(directory, ": expected an adapter, found no ", kAdapterConfigFile, " in this directory");
  }
  const MappedFile file(path);
  refuse_lfs_pointer(file.text(), path);
  return lora_config_from_json(std::string(file.text()), path);
}

std::string weights_path(const std::string& directory) {
  std::string path = directory + "/" + kAdapterWeightsFile;
  if (!fs::exists(path) && fs::exists(directory + "/adapter_model.bin")) {
    fail(path,
         ": No such file, but adapter_model.bin, which is no data but a program: save the adapter with ",
         "safe_serialization=True");
  }
  return path;
}

/// Why PEFT may have written a tensor that is neither A nor B of a linear layer.
std::string reason(const std::string& name) {
  const auto has = [&](const char* part) { return name.find(part) != std::string::npos; };
  if (has("lora_embedding_")) return "adapters on embeddings are not supported";
  if (has("lora_magnitude_vector")) return "DoRA is not supported";
  if (has("lora_") && name.ends_with(".bias")) return "biases (lora_bias) are not supported";
  if (has("modules_to_save")) return "modules_to_save are not supported";
  return cat("expected ", kPrefix, "MODULE", kA, " or ", kPrefix, "MODULE", kB);
}

bool is_float(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16;
}

void check_matrix(const std::string& file, const TensorInfo& tensor) {
  if (!is_float(tensor.dtype)) {
    fail(file, ": tensor \"", tensor.name, "\": expected F32, F16 or BF16, found ", dtype_name(tensor.dtype));
  }
  const bool is_matrix =
      tensor.shape.size() == 2 && std::ranges::all_of(tensor.shape, [](int64_t size) { return size > 0; });
  if (!is_matrix) {
    fail(file, ": tensor \"", tensor.name, "\": expected a matrix, found shape ", shape_text(tensor.shape));
  }
}

}  // namespace

bool can_adapt(const TensorSpec& spec) {
  const bool is_linear = spec.role == TensorRole::linear || spec.role == TensorRole::dense;
  return is_linear && spec.name != "lm_head.weight";
}

std::string module_of(const TensorSpec& spec) {
  return spec.name.substr(0, spec.name.size() - kWeight.size());
}

PeftAdapter::PeftAdapter(const std::string& directory)
    : directory_(directory), config_(read_config(directory)), weights_(weights_path(directory)) {
  read_names();
  for (LoraLayer& layer : layers_) check_layer(layer);
}

void PeftAdapter::read_names() {
  std::map<std::string, LoraLayer> found;
  for (const TensorInfo& tensor : weights_.tensors()) {
    const std::string_view name = tensor.name;
    const std::string_view end = name.ends_with(kA) ? kA : kB;
    if (!name.starts_with(kPrefix) || !name.ends_with(end) || name.size() <= kPrefix.size() + end.size()) {
      fail(weights_.path(), ": tensor \"", name, "\": ", reason(tensor.name));
    }
    const std::string module(name.substr(kPrefix.size(), name.size() - kPrefix.size() - end.size()));
    LoraLayer& layer = found[module];
    layer.module = module;
    (end == kA ? layer.a : layer.b) = &tensor;
  }
  if (found.empty()) fail(weights_.path(), ": expected at least one adapted layer, found no tensors");
  for (auto& [module, layer] : found) layers_.push_back(std::move(layer));
}

void PeftAdapter::check_layer(LoraLayer& layer) const {
  const std::string& file = weights_.path();
  if (layer.a == nullptr || layer.b == nullptr) {
    fail(file, ": tensor \"", kPrefix, layer.module, layer.a == nullptr ? kA : kB, "\" is missing");
  }
  check_matrix(file, *layer.a);
  check_matrix(file, *layer.b);
  if (!config_.adapts(layer.module)) {
    fail(file, ": tensor \"", layer.a->name, "\": target_modules of ", kAdapterConfigFile,
         " do not choose this module");
  }
  const int64_t rank = config_.rank_of(layer.module);
  layer.rank = layer.a->shape[0];
  layer.inputs = layer.a->shape[1];
  layer.outputs = layer.b->shape[0];
  if (layer.rank != rank || layer.b->shape[1] != rank) {
    fail(file, ": module \"", layer.module, "\": expected lora_A [", rank, ", in] and lora_B [out, ", rank,
         "] by ", kAdapterConfigFile, ", found ", shape_text(layer.a->shape), " and ",
         shape_text(layer.b->shape));
  }
  layer.scale = static_cast<float>(config_.scale_of(layer.module));
  if (!std::isfinite(layer.scale)) {
    fail(directory_, "/", kAdapterConfigFile, ": lora_alpha of \"", layer.module,
         "\": expected a number that float32 holds, found ", config_.scale_of(layer.module));
  }
}

const LoraLayer* PeftAdapter::find(const std::string& module) const {
  const auto found = std::ranges::lower_bound(layers_, module, {}, &LoraLayer::module);
  return found != layers_.end() && found->module == module ? &*found : nullptr;
}

void PeftAdapter::read(const TensorInfo& tensor, int64_t first, std::span<float> values) const {
  const auto begin = static_cast<size_t>(first * tensor.shape[1]);
  weights_.read_as_float(tensor, begin, values);
  if (const size_t bad = find_not_finite(values); bad < values.size()) {
    fail(weights_.path(), ": tensor \"", tensor.name, "\": value ", begin + bad,
         ": expected a finite number, found ", values[bad]);
  }
}

std::vector<float> PeftAdapter::read(const TensorInfo& tensor) const {
  std::vector<float> values(static_cast<size_t>(tensor.shape[0] * tensor.shape[1]));
  read(tensor, 0, values);
  return values;
}

void PeftAdapter::check_shapes(const ModelConfig& config, const std::string& base) const {
  std::map<std::string, std::vector<int64_t>> linear;
  for (const TensorSpec& spec : tensor_table(config)) {
    if (can_adapt(spec)) linear[module_of(spec)] = spec.shape;
  }
  for (const LoraLayer& layer : layers_) {
    const auto found = linear.find(layer.module);
    if (found == linear.end()) {
      fail(weights_.path(), ": module \"", layer.module, "\": ", base, " has no linear layer of that name",
           layer.module.ends_with("lm_head") ? " that can be adapted: heads are not supported" : "");
    }
    if (found->second != std::vector{layer.outputs, layer.inputs}) {
      fail(weights_.path(), ": module \"", layer.module, "\": expected matrices for ",
           shape_text(found->second), ", the layer's shape in ", base, ", found lora_A ",
           shape_text(layer.a->shape), " and lora_B ", shape_text(layer.b->shape));
    }
  }
  if (config_.targets.empty() && !config_.all_linear) return;
  for (const auto& [module, shape] : linear) {
    if (config_.adapts(module) && find(module) == nullptr) {
      fail(weights_.path(), ": tensor \"", kPrefix, module, kA, "\" is missing: ", kAdapterConfigFile,
           " chooses this module of ", base);
    }
  }
}

void PeftAdapter::check_fingerprint(const std::string& fingerprint, const std::string& base) const {
  const std::string& expected = config_.base_fingerprint;
  if (expected.empty() || expected == fingerprint) return;
  const std::string named = config_.base_model.empty() ? "" : cat(" (\"", config_.base_model, "\")");
  fail(directory_, "/", kAdapterConfigFile, ": ", kBaseFingerprintKey, ": the adapter was made for the base ",
       expected, named, ", ", base, " is ", fingerprint, "; --any-base takes it all the same");
}

void write_peft_adapter(const std::string& directory, const LoraConfig& config,
                        std::span<const LoraMatrices> layers, DType dtype) {
  if (!is_float(dtype)) fail(directory, ": expected F32, F16 or BF16, found ", dtype_name(dtype));
  std::vector<TensorDeclaration> declarations;
  std::vector<std::span<const float>> data;
  for (const LoraMatrices& layer : layers) {
    const int64_t rank = config.rank_of(layer.module);
    if (!config.adapts(layer.module)) {
      fail(directory, ": module \"", layer.module, "\": the config does not choose this module");
    }
    const auto add = [&](std::string_view end, std::vector<int64_t> shape, std::span<const float> values) {
      declarations.push_back({cat(kPrefix, layer.module, end), dtype, std::move(shape)});
      if (values.size() * dtype_bytes(dtype) != declarations.back().bytes()) {
        fail(directory, ": tensor \"", declarations.back().name, "\": expected shape ",
             shape_text(declarations.back().shape), ", found ", values.size(), " values");
      }
      data.push_back(values);
    };
    add(kA, {rank, layer.inputs}, layer.a);
    add(kB, {layer.outputs, rank}, layer.b);
  }
  SafetensorsWriter writer(directory + "/" + kAdapterWeightsFile, {{"format", "pt"}}, declarations);
  std::vector<uint8_t> bytes;
  for (const std::span<const float> values : data) {
    bytes.resize(values.size() * dtype_bytes(dtype));
    floats_to(dtype, values, bytes);
    writer.write(bytes);
  }
  writer.commit();
  write_file(directory + "/" + kAdapterConfigFile, lora_config_to_json(config));
}

}  // namespace rotor
