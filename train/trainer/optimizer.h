// LibTorch's optimizers, set up from a config: decay on matrices only.
#pragma once

#include <torch/torch.h>

#include <memory>

#include "train/config/train_config.h"

namespace rotor::train {

/// Parameters with two or more dimensions are decayed, vectors (norms, biases) are not.
std::unique_ptr<torch::optim::Optimizer> make_optimizer(const torch::nn::Module& module,
                                                        const OptimizerConfig& config);

void set_learning_rate(torch::optim::Optimizer& optimizer, double learning_rate);

}  // namespace rotor::train
