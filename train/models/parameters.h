// A module's parameters to and from checkpoints, by the names of core/tensor_table.h.
#pragma once

#include <torch/torch.h>

#include <string>

#include "rotor/formats/checkpoint.h"

namespace rotor::train {

/// Copies a checkpoint's tensors into the module's parameters; packed ternary matrices become frozen layers
/// (TernaryLinearImpl::freeze). Throws Error if names or shapes differ.
void load_parameters(torch::nn::Module& module, const Checkpoint& checkpoint);

/// Writes a module's parameters as a checkpoint of `config` into an existing directory.
void save_parameters(const torch::nn::Module& module, const ModelConfig& config,
                     const std::string& directory);

}  // namespace rotor::train
