// The state of an optimizer as a safetensors file: "exp_avg.layers.0.linear.weight" and so on, in the order
// of the parameters, so that equal states are equal files. (LibTorch's own archive names tensors by their
// addresses.)
#pragma once

#include <torch/torch.h>

#include <string>

#include "train/config/train_config.h"

namespace rotor::train {

/// Writes the state of `optimizer`, which make_optimizer made for `module` and which has done `step` steps,
/// atomically.
void save_optimizer(torch::optim::Optimizer& optimizer, OptimizerKind kind, const torch::nn::Module& module,
                    int64_t step, const std::string& path);

/// Reads it back. Throws Error if the file is bad, is of another step, or does not hold the state of every
/// parameter.
void load_optimizer(torch::optim::Optimizer& optimizer, const OptimizerConfig& config,
                    const torch::nn::Module& module, int64_t step, const std::string& path);

}  // namespace rotor::train
