// A checkpoint directory in Hugging Face form: config.json and model.safetensors. What training writes and
// export reads; trainer state lies beside it in files of its own, which this does not know.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "rotor/core/model_config.h"
#include "rotor/core/tensor_table.h"
#include "rotor/formats/config_json.h"
#include "rotor/formats/safetensors.h"

namespace rotor {

inline constexpr const char* kConfigFile = "config.json";
inline constexpr const char* kWeightsFile = "model.safetensors";

class Checkpoint {
 public:
  /// Throws Error if a file is missing or bad, or if the tensors are not exactly those of the architecture.
  explicit Checkpoint(const std::string& directory);

  const std::string& directory() const { return directory_; }
  const ModelConfig& config() const { return config_; }
  const SafetensorsFile& weights() const { return weights_; }
  /// Whether ternary matrices are stored as codes and a scale, with no float masters to train on.
  bool packed() const { return stored_.packed; }
  /// One tensor as float32, row-major. Throws Error for a packed matrix.
  std::vector<float> tensor(const std::string& name) const {
    return weights_.read_as_float(weights_.at(name));
  }
  /// A ternary matrix: masters are quantized by absmean, packed codes are unpacked (core/hf_packing.h).
  struct Ternary {
    std::vector<int8_t> codes;  ///< [rows, cols]
    float scale;                ///< weight = code * scale
  };
  Ternary ternary(const TensorSpec& spec) const;

 private:
  void check_tensor(const TensorSpec& spec) const;

  std::string directory_;
  StoredQuantization stored_;
  ModelConfig config_;
  SafetensorsFile weights_;
};

/// Throws Error if `config` is not valid. Writes config.json and model.safetensors (float32) into
/// `directory`, which exists. `tensor` gives the values of each entry of tensor_table(config), row-major.
void write_checkpoint(const std::string& directory, const ModelConfig& config,
                      const std::function<std::span<const float>(const TensorSpec&)>& tensor);

}  // namespace rotor
