// LibTorch's optimizers, set up from a config: decay on matrices only.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <string>
#include <vector>

#include "train/config/train_config.h"

namespace rotor::train {

/// Matrices of linear layers are decayed; vectors (norms, biases) and embeddings are not, nor is a head that
/// is the embedding. Frozen parameters are left out.
std::unique_ptr<torch::optim::Optimizer> make_optimizer(const torch::nn::Module& module,
                                                        const OptimizerConfig& config);

/// A tensor to be optimized, and whether it is decayed.
struct OptimizedTensor {
  torch::Tensor tensor;
  bool is_decayed;
};
/// The same for parts of a module's parameters.
std::unique_ptr<torch::optim::Optimizer> make_optimizer(const std::vector<OptimizedTensor>& tensors,
                                                        const OptimizerConfig& config);
/// Whether the parameter of that name is decayed.
bool is_decayed(const std::string& name, const torch::Tensor& parameter);

void set_learning_rate(torch::optim::Optimizer& optimizer, double learning_rate);

/// optimizer.step(), after which every parameter has a new version: LibTorch's SGD writes behind the back of
/// the version counter, by which layers know that their codes are out of date.
void step(torch::optim::Optimizer& optimizer);

/// Of the matrices, in an optimizer that make_optimizer made.
void set_weight_decay(torch::optim::Optimizer& optimizer, OptimizerKind kind, double weight_decay);

}  // namespace rotor::train
