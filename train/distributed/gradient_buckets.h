// Sums gradients over ranks while the backward pass still computes others: they are summed in buckets, each
// as soon as all its gradients are there (Li et al., PyTorch Distributed, arXiv 2006.15704, section 3.2).
#pragma once

#include <torch/csrc/autograd/variable.h>
#include <torch/torch.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "train/distributed/flat_parameters.h"
#include "train/distributed/rank_group.h"

namespace rotor::train {

class GradientBuckets {
 public:
  /// Buckets of at least `bucket_bytes` (but for the last), of whole parameters. Both arguments must outlive
  /// this object.
  GradientBuckets(const FlatParameters& parameters, RankGroup& group, int64_t bucket_bytes);
  ~GradientBuckets();
  GradientBuckets(const GradientBuckets&) = delete;
  GradientBuckets& operator=(const GradientBuckets&) = delete;

  size_t size() const { return buckets_.size(); }

  /// Before the first backward pass of a step: gradients are 0, and their place is the flat tensor.
  void begin_step();
  /// Before the last backward pass of a step: from now on full buckets are summed. In this pass a parameter
  /// may get its gradient once; a second time, after its bucket went out, is an Error.
  void sum_in_next_backward();
  /// After it: sums what is left, and waits for all sums.
  void finish();

  /// By entry of the parameters: 1 if it got a gradient on this rank in this step, else 0. Float64.
  const torch::Tensor& touched() const { return touched_; }

 private:
  struct Bucket {
    int64_t first = 0;  // of the flat tensor
    int64_t end = 0;
    int64_t num_parameters = 0;
    int64_t missing = 0;  // gradients, in the pass that sums
  };
  struct Hook;
  /// A shared or an intrusive pointer, as LibTorch's version has it.
  using Accumulator = decltype(torch::autograd::impl::grad_accumulator(std::declval<torch::Tensor>()));

  void got_gradient(size_t entry);
  void send_full_buckets(bool all);

  const FlatParameters& parameters_;
  RankGroup& group_;
  std::vector<Bucket> buckets_;
  std::vector<size_t> bucket_of_;  // by entry
  std::vector<std::pair<Accumulator, uintptr_t>> accumulators_;
  torch::Tensor touched_;
  std::vector<bool> arrived_;  // by entry, in the pass that sums
  bool summing_ = false;
  size_t next_bucket_ =
      0;  // sums begin in this order on all ranks, whatever the order of their backward passes
  std::vector<std::function<void()>> waits_;
};

}  // namespace rotor::train
