// Training one model on several ranks: each computes gradients on its own rows, their sums are everywhere,
// each steps its share of the parameters and keeps the optimizer's state of that share alone (ZeRO stage 1,
// Rajbhandari et al., arXiv 1910.02054), and then all have all parameters.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <string>
#include <vector>

#include "train/config/train_config.h"
#include "train/distributed/flat_parameters.h"
#include "train/distributed/gradient_buckets.h"
#include "train/distributed/rank_group.h"

namespace rotor::train {

class DataParallel {
 public:
  /// `module` and `group` must outlive this object. Every rank calls every function, in the same order.
  DataParallel(torch::nn::Module& module, RankGroup& group, const TrainConfig& config);

  /// All parameters as they are on rank 0.
  void broadcast_parameters();

  /// Before the first backward pass of a step, and before the last one.
  void begin_step() { buckets_.begin_step(); }
  void sum_in_next_backward() { buckets_.sum_in_next_backward(); }
  /// After the last one: the gradients of the module are then the sums over ranks. A parameter that got none
  /// on any rank has none.
  void finish_backward();
  /// Figures of a step, summed over ranks; float64, replaced.
  void sum(std::vector<double>& figures);

  /// The optimizer of this rank's share, to set rates.
  torch::optim::Optimizer& optimizer() { return *optimizer_; }
  /// Steps the share, and gathers all parameters.
  void step();

  /// As save_optimizer and load_optimizer (optimizer_state.h) for the whole state, of which no rank but 0
  /// touches a file; one tensor at a time is in the memory of rank 0.
  void save_optimizer(int64_t step, const std::string& path);
  void load_optimizer(int64_t step, const std::string& path);

 private:
  /// Part of a parameter that this rank steps.
  struct Piece {
    size_t entry = 0;
    int64_t first = 0;     // of the parameter
    torch::Tensor values;  // [count], where the parameter has them
    torch::Tensor gradient;
  };

  /// Elements of the flat tensors that rank `rank` steps.
  std::pair<int64_t, int64_t> range_of(int64_t rank) const;
  const Piece* piece_of(size_t entry) const;
  torch::Tensor gather_state(size_t entry, size_t index);

  torch::nn::Module& module_;
  RankGroup& group_;
  OptimizerConfig config_;
  FlatParameters parameters_;
  GradientBuckets buckets_;
  std::vector<Piece> pieces_;
  std::unique_ptr<torch::optim::Optimizer> optimizer_;
};

}  // namespace rotor::train
