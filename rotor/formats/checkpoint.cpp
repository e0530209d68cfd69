// Reads and writes the two files of a checkpoint, and holds the weights against the architecture's tensor
// table.
#include "rotor/formats/checkpoint.h"

#include <filesystem>
#include <set>

#include "rotor/core/error.h"
#include "rotor/formats/config_json.h"
#include "rotor/formats/json.h"

namespace rotor {
namespace {

std::string existing_directory(const std::string& directory) {
  if (!std::filesystem::is_directory(directory)) fail(directory, ": expected a checkpoint directory");
  return directory;
}

ModelConfig read_config(const std::string& directory) {
  const std::string path = directory + "/" + kConfigFile;
  const MappedFile file(path);
  return model_config_from_json({file.bytes().begin(), file.bytes().end()}, path);
}

}  // namespace

Checkpoint::Checkpoint(const std::string& directory)
    : directory_(existing_directory(directory)),
      config_(read_config(directory)),
      weights_(directory + "/" + kWeightsFile) {
  const auto table = tensor_table(config_);
  std::set<std::string> known;
  for (const TensorSpec& spec : table) {
    known.insert(spec.name);
    const TensorInfo& found = weights_.at(spec.name);
    if (found.shape != spec.shape) {
      fail(weights_.path(), ": tensor \"", spec.name, "\": expected shape ", shape_text(spec.shape),
           ", found ", shape_text(found.shape));
    }
  }
  for (const TensorInfo& tensor : weights_.tensors()) {
    if (!known.contains(tensor.name))
      fail(weights_.path(), ": tensor \"", tensor.name, "\" is not part of this model");
  }
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
