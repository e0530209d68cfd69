// The state of an optimizer as a safetensors file: "exp_avg.layers.0.linear.weight" and so on, in the order
// of the parameters, so that equal states are equal files. (LibTorch's own archive names tensors by their
// addresses.)
#pragma once

#include <torch/torch.h>

#include <string>

#include "train/config/train_config.h"

namespace rotor::train {

/// Writes the state of `optimizer`, which make_optimizer made for `module`, atomically.
void save_optimizer(torch::optim::Optimizer& optimizer, OptimizerKind kind, const torch::nn::Module& module,
                    const std::string& path);

/// Reads it back. Throws Error if the file is bad or does not fit the module.
void load_optimizer(torch::optim::Optimizer& optimizer, OptimizerKind kind, const torch::nn::Module& module,
                    const std::string& path);

}  // namespace rotor::train
