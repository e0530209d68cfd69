// Adam and AdamW whose moments take less memory than LibTorch's: in bfloat16, or in a file that is mapped, so
// that the operating system keeps of them in memory what it has room for. One pass over parameter, gradient
// and both moments.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "train/config/train_config.h"
#include "train/trainer/optimizer_state.h"

namespace rotor::train {

/// Memory for moments.
class MomentStore {
 public:
  /// `directory`: of the file that holds them; empty: ordinary memory.
  MomentStore(torch::ScalarType type, std::string directory)
      : type_(type), directory_(std::move(directory)) {}

  /// A tensor of zeros. Throws Error if the file cannot grow.
  torch::Tensor zeros(at::IntArrayRef shape, torch::Device device) const;

 private:
  torch::ScalarType type_;
  std::string directory_;
};

/// One step of a parameter, in place, `step` counted from 1 (Kingma and Ba, arXiv 1412.6980, alg. 1;
/// decoupled decay: Loshchilov and Hutter, arXiv 1711.05101). Moments in bfloat16 are rounded up or down at
/// random, in proportion, so that changes below their resolution are not lost; the numbers depend on `seed`,
/// step and place alone. On the CPU in one pass, elsewhere by LibTorch's operations (there bfloat16 rounds to
/// nearest).
struct AdamStep {
  double learning_rate = 0.0;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0.0;
  bool decoupled = true;
  int64_t step = 1;
  uint64_t seed = 0;
};
void adam_step(const torch::Tensor& parameter, const torch::Tensor& gradient, const torch::Tensor& exp_avg,
               const torch::Tensor& exp_avg_sq, const AdamStep& how);
/// What it does elsewhere than on the CPU; it runs on any device.
void adam_step_by_operations(torch::Tensor parameter, torch::Tensor gradient, torch::Tensor exp_avg,
                             torch::Tensor exp_avg_sq, const AdamStep& how);

/// Steps by adam_step(); its state is LibTorch's own, so that files of it are the same. `Base`:
/// torch::optim::Adam or AdamW.
template <class Base>
class LeanAdam final : public Base, public MomentHolder {
 public:
  template <class Options>
  LeanAdam(std::vector<torch::optim::OptimizerParamGroup> groups, Options options, MomentStore store)
      : Base(std::move(groups), std::move(options)), store_(std::move(store)) {}
  torch::Tensor step(torch::optim::Optimizer::LossClosure closure = nullptr) override;
  torch::Tensor placed(const torch::Tensor& moment) const override {
    return store_.zeros(moment.sizes(), moment.device()).copy_(moment);
  }

 private:
  MomentStore store_;
};

extern template class LeanAdam<torch::optim::Adam>;
extern template class LeanAdam<torch::optim::AdamW>;

}  // namespace rotor::train
