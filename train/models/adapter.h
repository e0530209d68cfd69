// The adapters of a module to and from PEFT's files (rotor/formats/peft_adapter.h).
#pragma once

#include <torch/torch.h>

#include <string>

#include "rotor/formats/lora_config.h"

namespace rotor::train {

/// Writes the adapters of a module's layers into an existing directory.
void save_adapter(const torch::nn::Module& module, const LoraConfig& config, const std::string& directory);

/// Reads them. Throws Error unless they are for these layers, of these shapes, and of the base that `config`
/// names by its fingerprint.
void load_adapter(torch::nn::Module& module, const LoraConfig& config, const std::string& directory);

}  // namespace rotor::train
