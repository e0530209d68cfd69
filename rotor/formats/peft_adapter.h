// A LoRA adapter in the form of Hugging Face PEFT: a directory of adapter_config.json and
// adapter_model.safetensors. Training writes it; the runtime and rotor-export put it on its base. What an
// adapter does to a layer y = W x is y + scale * B (A x); A and B are all that it holds.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "rotor/core/model_config.h"
#include "rotor/core/tensor_table.h"
#include "rotor/formats/lora_config.h"
#include "rotor/formats/safetensors.h"

namespace rotor {

inline constexpr const char* kAdapterWeightsFile = "adapter_model.safetensors";

/// The two matrices of an adapted layer.
struct LoraLayer {
  std::string module;  ///< "model.layers.0.self_attn.q_proj"
  int64_t rank = 0;
  int64_t inputs = 0;
  int64_t outputs = 0;
  float scale = 0.0F;             ///< of the product B A
  const TensorInfo* a = nullptr;  ///< [rank, inputs], in float32, float16 or bfloat16
  const TensorInfo* b = nullptr;  ///< [outputs, rank]
};

class PeftAdapter {
 public:
  /// Opens a directory. Throws Error naming file, key or tensor, expected and found: also for whatever of
  /// PEFT Rotor does not run. Reads no weights.
  explicit PeftAdapter(const std::string& directory);

  const std::string& path() const { return directory_; }
  const LoraConfig& config() const { return config_; }
  const SafetensorsFile& weights() const { return weights_; }
  /// Sorted by module.
  const std::vector<LoraLayer>& layers() const { return layers_; }
  /// nullptr if that layer is not adapted.
  const LoraLayer* find(const std::string& module) const;

  /// Values of A [rank, inputs] or B [outputs, rank], `tensor` being one of a layer's, from row `first` on.
  /// Throws Error for one that is not finite.
  void read(const TensorInfo& tensor, int64_t first, std::span<float> values) const;
  std::vector<float> read(const TensorInfo& tensor) const;

  /// Throws Error unless every adapted module is a linear layer of a base of that config, of the same shape,
  /// and every one that the config chooses is adapted. `base` names it in messages.
  void check_shapes(const ModelConfig& config, const std::string& base) const;
  /// Throws Error if the adapter knows the fingerprint of its base (base_fingerprint.h) and it is another
  /// one.
  void check_fingerprint(const std::string& fingerprint, const std::string& base) const;

 private:
  void read_names();
  void check_layer(LoraLayer& layer) const;

  std::string directory_;
  LoraConfig config_;
  SafetensorsFile weights_;
  std::vector<LoraLayer> layers_;
};

/// Whether adapters can be put on the layer whose matrix that is: linear layers, but the head.
bool can_adapt(const TensorSpec& spec);
/// The name of the module that owns a tensor: without ".weight".
std::string module_of(const TensorSpec& spec);

/// An adapted layer's matrices, to be written.
struct LoraMatrices {
  std::string module;
  int64_t inputs = 0;
  int64_t outputs = 0;
  std::span<const float> a;  ///< [config.rank_of(module), inputs]
  std::span<const float> b;  ///< [outputs, config.rank_of(module)]
};

/// Writes the two files into `directory`, which exists, each whole or not at all, the weights as `dtype`
/// (F32, F16 or BF16). Throws Error for matrices that are not of the shapes that `config` says, or that it
/// does not choose.
void write_peft_adapter(const std::string& directory, const LoraConfig& config,
                        std::span<const LoraMatrices> layers, DType dtype = DType::f32);

}  // namespace rotor
