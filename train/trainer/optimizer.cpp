// Parameter groups and options.
#include "train/trainer/optimizer.h"

#include "train/trainer/lean_adam.h"

namespace rotor::train {
namespace {

template <class Options>
std::vector<torch::optim::OptimizerParamGroup> make_groups(const std::vector<OptimizedTensor>& tensors,
                                                           const Options& options, double weight_decay) {
  std::vector<torch::Tensor> matrices;
  std::vector<torch::Tensor> vectors;
  for (const OptimizedTensor& entry : tensors)
    (entry.is_decayed ? matrices : vectors).push_back(entry.tensor);
  Options decayed = options;
  decayed.weight_decay(weight_decay);
  std::vector<torch::optim::OptimizerParamGroup> groups;
  groups.emplace_back(matrices, std::make_unique<Options>(decayed));
  if (!vectors.empty()) groups.emplace_back(vectors, std::make_unique<Options>(options));
  return groups;
}

template <class Base, class Options>
std::unique_ptr<torch::optim::Optimizer> make_adam(const std::vector<OptimizedTensor>& tensors,
                                                   Options options, const OptimizerConfig& config) {
  options.betas({config.betas[0], config.betas[1]}).eps(config.eps).weight_decay(0.0);
  auto groups = make_groups(tensors, options, config.weight_decay);
  if (!config.bfloat16_state && config.state_directory.empty()) {
    return std::make_unique<Base>(std::move(groups), options);
  }
  const MomentStore store(config.bfloat16_state ? torch::kBFloat16 : torch::kFloat32, config.state_directory);
  return std::make_unique<LeanAdam<Base>>(std::move(groups), options, store);
}

}  // namespace

bool is_decayed(const std::string& name, const torch::Tensor& parameter) {
  return parameter.dim() >= 2 && name.find("embed_tokens") == std::string::npos;
}

std::unique_ptr<torch::optim::Optimizer> make_optimizer(const torch::nn::Module& module,
                                                        const OptimizerConfig& config) {
  std::vector<OptimizedTensor> tensors;
  for (const auto& parameter : module.named_parameters()) {
    if (!parameter->requires_grad()) continue;
    tensors.push_back({parameter.value(), is_decayed(parameter.key(), parameter.value())});
  }
  return make_optimizer(tensors, config);
}

std::unique_ptr<torch::optim::Optimizer> make_optimizer(const std::vector<OptimizedTensor>& tensors,
                                                        const OptimizerConfig& config) {
  using namespace torch::optim;
  switch (config.kind) {
    case OptimizerKind::adam:
      return make_adam<Adam>(tensors, AdamOptions(config.learning_rate), config);
    case OptimizerKind::adamw:
      return make_adam<AdamW>(tensors, AdamWOptions(config.learning_rate), config);
    case OptimizerKind::sgd: {
      const SGDOptions options = SGDOptions(config.learning_rate).momentum(config.momentum);
      return std::make_unique<SGD>(make_groups(tensors, options, config.weight_decay), options);
    }
  }
  return nullptr;
}

void set_learning_rate(torch::optim::Optimizer& optimizer, double learning_rate) {
  for (auto& group : optimizer.param_groups()) group.options().set_lr(learning_rate);
}

void step(torch::optim::Optimizer& optimizer) {
  optimizer.step();
  for (auto& group : optimizer.param_groups()) {
    for (const torch::Tensor& parameter : group.params()) parameter.unsafeGetTensorImpl()->bump_version();
  }
}

void set_weight_decay(torch::optim::Optimizer& optimizer, OptimizerKind kind, double weight_decay) {
  using namespace torch::optim;
  OptimizerOptions& options = optimizer.param_groups().front().options();
  switch (kind) {
    case OptimizerKind::adam:
      static_cast<AdamOptions&>(options).weight_decay(weight_decay);
      break;
    case OptimizerKind::adamw:
      static_cast<AdamWOptions&>(options).weight_decay(weight_decay);
      break;
    case OptimizerKind::sgd:
      static_cast<SGDOptions&>(options).weight_decay(weight_decay);
      break;
  }
}

}  // namespace rotor::train
