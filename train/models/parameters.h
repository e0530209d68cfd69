// A module's parameters to and from checkpoints, by the names of core/tensor_table.h.
#pragma once

#include <torch/torch.h>

#include <functional>
#include <string>

#include "rotor/formats/checkpoint.h"
#include "rotor/formats/model_source.h"

namespace rotor::train {

/// Copies a checkpoint's tensors into the module's parameters; packed ternary matrices become frozen layers
/// (TernaryLinearImpl::freeze). Throws Error if names or shapes differ.
void load_parameters(torch::nn::Module& module, const Checkpoint& checkpoint);

/// Copies a model's tensors into the parameters of a module on the CPU that is to learn: the module may be
/// ternary where the model is not, and the other way round. Of ternary matrices without masters, codes and
/// scale become masters that give them back (core/absmean_masters.h); what is lost is how near each weight
/// was to changing its code. Calls `on_tensor` for each. Throws Error if names or shapes differ.
void load_masters(torch::nn::Module& module, const ModelSource& source,
                  const std::function<void()>& on_tensor = {});

/// Writes a module's parameters as a checkpoint of `config` into an existing directory.
void save_parameters(const torch::nn::Module& module, const ModelConfig& config,
                     const std::string& directory);

}  // namespace rotor::train
