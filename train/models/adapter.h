// The adapters of a module to and from PEFT's files (rotor/formats/peft_adapter.h).
#pragma once

#include <torch/torch.h>

#include <string>
#include <utility>
#include <vector>

#include "rotor/formats/lora_config.h"

namespace rotor::train {

/// Writes the adapters of a module's layers into an existing directory.
void save_adapter(const torch::nn::Module& module, const LoraConfig& config, const std::string& directory);

/// Reads them. Throws Error unless they are for these layers, of these shapes, and of the base that `config`
/// names by its fingerprint.
void load_adapter(torch::nn::Module& module, const LoraConfig& config, const std::string& directory);

/// How large what an adapter adds is beside the matrix W that it is added to: ||scale B A|| / ||W||,
/// Frobenius norms; of all adapted layers together under "all", first, then of each by its name. Empty
/// without adapters.
std::vector<std::pair<std::string, double>> adapter_sizes(const torch::nn::Module& module);

}  // namespace rotor::train
