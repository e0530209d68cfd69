// The state of an optimizer as a safetensors file: "exp_avg.layers.0.linear.weight" and so on, in the order
// of the parameters, so that equal states are equal files. (LibTorch's own archive names tensors by their
// addresses.)
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "rotor/formats/safetensors.h"
#include "train/config/train_config.h"

namespace rotor::train {

/// An optimizer that decides where its moments lie.
class MomentHolder {
 public:
  virtual ~MomentHolder() = default;
  /// A copy of `moment` where this optimizer wants it.
  virtual torch::Tensor placed(const torch::Tensor& moment) const = 0;
};

/// Writes the state of `optimizer`, which make_optimizer made for `module` and which has done `step` steps,
/// atomically.
void save_optimizer(torch::optim::Optimizer& optimizer, const OptimizerConfig& config,
                    const torch::nn::Module& module, int64_t step, const std::string& path);

/// Reads it back. Throws Error if the file is bad, is of another step, or does not hold the state of every
/// parameter.
void load_optimizer(torch::optim::Optimizer& optimizer, const OptimizerConfig& config,
                    const torch::nn::Module& module, int64_t step, const std::string& path);

// The parts of the above, for states that lie on several ranks (train/distributed/data_parallel.h).

/// Names of the tensors that the optimizer keeps for each parameter, as in files; none for sgd without
/// momentum.
std::vector<std::string> state_names(const OptimizerConfig& config);
/// These tensors of `parameter`; none before its first step.
std::vector<torch::Tensor> state_tensors(torch::optim::Optimizer& optimizer, OptimizerKind kind,
                                         const torch::Tensor& parameter);
/// The whole state of `parameter`, which begins at step 0 without tensors.
torch::optim::OptimizerParamState& state_of(torch::optim::Optimizer& optimizer, OptimizerKind kind,
                                            const torch::Tensor& parameter);
/// Replaces them; a MomentHolder places them.
void set_state(torch::optim::Optimizer& optimizer, OptimizerKind kind, const torch::Tensor& parameter,
               int64_t step, const std::vector<torch::Tensor>& tensors);

struct StateTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::function<torch::Tensor()> read;  ///< called once, when it is to be written
};

/// Writes `tensors` in their order, one at a time, atomically.
void write_state_file(const std::string& path, int64_t step, const std::vector<StateTensor>& tensors);

/// An optimizer's state on disk.
class StateFile {
 public:
  /// Throws Error if the file is bad or of another step.
  StateFile(const std::string& path, int64_t step);
  /// On the CPU. Throws Error if there is no such tensor of that shape.
  torch::Tensor read(const std::string& name, const std::vector<int64_t>& shape) const;
  /// Throws Error if there are more or fewer.
  void expect_tensors(size_t number) const;

 private:
  SafetensorsFile file_;
};

}  // namespace rotor::train
