// Reads and writes the two files of a checkpoint, and holds the weights against the architecture's tensor
// table.
#include "rotor/formats/checkpoint.h"

#include <cmath>
#include <filesystem>
#include <set>

#include "rotor/core/error.h"
#include "rotor/core/hf_packing.h"
#include "rotor/core/quantize.h"
#include "rotor/formats/config_json.h"
#include "rotor/formats/json.h"

namespace rotor {
namespace {

std::string existing_directory(const std::string& directory) {
  if (!std::filesystem::is_directory(directory)) fail(directory, ": expected a checkpoint directory");
  return directory;
}

ModelConfig read_config(const std::string& directory, StoredQuantization& stored) {
  const std::string path = directory + "/" + kConfigFile;
  const MappedFile file(path);
  return model_config_from_json(std::string(file.text()), path, &stored);
}

}  // namespace

Checkpoint::Checkpoint(const std::string& directory)
    : directory_(existing_directory(directory)),
      config_(read_config(directory, stored_)),
      weights_(directory + "/" + kWeightsFile) {
  std::set<std::string> known;
  for (const TensorSpec& spec : tensor_table(config_)) {
    check_tensor(spec);
    known.insert(spec.name);
    if (packed() && is_ternary(config_, spec)) known.insert(scale_name(spec.name));
  }
  for (const TensorInfo& tensor : weights_.tensors()) {
    if (!known.contains(tensor.name))
      fail(weights_.path(), ": tensor \"", tensor.name, "\" is not part of this model");
  }
}

void Checkpoint::check_tensor(const TensorSpec& spec) const {
  const TensorInfo& found = weights_.at(spec.name);
  std::vector<int64_t> expected = spec.shape;
  if (packed() && is_ternary(config_, spec)) {
    expected[0] = (spec.shape[0] + 3) / 4;
    const TensorInfo& scale = weights_.at(scale_name(spec.name));
    if (found.dtype != DType::u8 || scale.shape != std::vector<int64_t>{1}) {
      fail(weights_.path(), ": tensor \"", spec.name, "\": expected U8 and a scale of shape [1], found ",
           dtype_name(found.dtype), " and ", shape_text(scale.shape));
    }
  }
  if (found.shape != expected) {
    fail(weights_.path(), ": tensor \"", spec.name, "\": expected shape ", shape_text(expected), ", found ",
         shape_text(found.shape));
  }
}

Checkpoint::Ternary Checkpoint::ternary(const TensorSpec& spec) const {
  const auto rows = static_cast<size_t>(spec.shape[0]);
  const auto cols = static_cast<size_t>(spec.shape[1]);
  Ternary matrix{std::vector<int8_t>(rows * cols), 0.0F};
  if (!packed()) {
    matrix.scale = quantize_absmean(tensor(spec.name), matrix.codes).scale;
    return matrix;
  }
  hf_unpack(weights_.bytes(weights_.at(spec.name)), rows, cols, matrix.codes);
  const float stored = tensor(scale_name(spec.name))[0];
  matrix.scale = stored_.scale_divides ? 1.0F / stored : stored;
  if (!(matrix.scale > 0.0F) || !std::isfinite(matrix.scale)) {
    fail(weights_.path(), ": tensor \"", scale_name(spec.name),
         "\": expected a finite number above 0, found ", stored);
  }
  return matrix;
}

void write_checkpoint(const std::string& directory, const ModelConfig& config,
                      const std::function<std::span<const float>(const TensorSpec&)>& tensor) {
  config.validate();
  const auto table = tensor_table(config);
  std::vector<TensorDeclaration> declarations;
  for (const TensorSpec& spec : table) declarations.push_back({spec.name, DType::f32, spec.shape});
  SafetensorsWriter writer(directory + "/" + kWeightsFile, {{"format", "pt"}}, declarations);
  for (const TensorSpec& spec : table) {
    const auto values = tensor(spec);
    writer.write({reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()});
  }
  writer.commit();
  write_file(directory + "/" + kConfigFile, model_config_to_json(config, 2) + "\n");
}

}  // namespace rotor
