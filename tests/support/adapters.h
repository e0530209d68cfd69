// Small LoRA adapters that tests make for themselves.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rotor/formats/peft_adapter.h"

namespace rotor::test {

/// The matrices of an adapter, by layer.
struct AdapterValues {
  std::vector<LoraMatrices> layers;
  std::vector<std::vector<float>> values;  // what `layers` view
};

/// Random matrices for every linear layer of `config` that `lora` chooses, so large that they matter: what
/// they add is `size` of what random weights give.
AdapterValues random_adapter(const ModelConfig& config, const LoraConfig& lora, uint64_t seed = 1,
                             float size = 0.3F);

/// The same, written into `directory`, which is created. `rank` of all linear layers, alpha twice that.
void write_random_adapter(const std::string& directory, const ModelConfig& config, int64_t rank,
                          uint64_t seed = 1, const std::string& fingerprint = "", DType dtype = DType::f32);

}  // namespace rotor::test
