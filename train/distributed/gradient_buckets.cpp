// Hooks on the nodes that accumulate gradients.
#include "train/distributed/gradient_buckets.h"

#include <torch/csrc/autograd/function_hook.h>

#include "rotor/core/error.h"

namespace rotor::train {

/// Called when a parameter's gradient has been accumulated.
struct GradientBuckets::Hook : torch::autograd::FunctionPostHook {
  Hook(GradientBuckets& buckets_in, size_t entry_in) : buckets(buckets_in), entry(entry_in) {}

  torch::autograd::variable_list operator()(const torch::autograd::variable_list& outputs,
                                            const torch::autograd::variable_list& /*inputs*/) override {
    buckets.got_gradient(entry);
    return outputs;
  }

  GradientBuckets& buckets;
  size_t entry;
};

GradientBuckets::GradientBuckets(const FlatParameters& parameters, RankGroup& group, int64_t bucket_bytes)
    : parameters_(parameters), group_(group) {
  const auto& entries = parameters.entries();
  const auto float_bytes = static_cast<int64_t>(sizeof(float));
  for (size_t i = 0; i < entries.size(); ++i) {
    if (buckets_.empty() || (buckets_.back().end - buckets_.back().first) * float_bytes >= bucket_bytes) {
      buckets_.push_back({.first = entries[i].first});
    }
    buckets_.back().end = i + 1 < entries.size() ? entries[i + 1].first : parameters.size();
    ++buckets_.back().num_parameters;
    bucket_of_.push_back(buckets_.size() - 1);
    // The node lives as long as someone holds it.
    Accumulator node = torch::autograd::impl::grad_accumulator(entries[i].parameter);
    const uintptr_t key = node->add_post_hook(std::make_unique<Hook>(*this, i));
    accumulators_.emplace_back(std::move(node), key);
  }
  touched_ = torch::zeros({static_cast<int64_t>(entries.size())}, torch::kFloat64);
}

GradientBuckets::~GradientBuckets() {
  for (auto& [node, key] : accumulators_) node->del_post_hook(key);
}

void GradientBuckets::begin_step() {
  parameters_.gradients().zero_();
  for (const FlatParameters::Entry& entry : parameters_.entries()) {
    torch::Tensor parameter = entry.parameter;
    parameter.mutable_grad() = entry.gradient;
  }
  touched_.zero_();
  summing_ = false;
  next_bucket_ = 0;
}

void GradientBuckets::sum_in_next_backward() {
  for (Bucket& bucket : buckets_) bucket.missing = bucket.num_parameters;
  arrived_.assign(parameters_.entries().size(), false);
  summing_ = true;
}

void GradientBuckets::got_gradient(size_t entry) {
  touched_.data_ptr<double>()[entry] = 1;
  if (!summing_) return;
  if (arrived_[entry]) {
    fail(parameters_.entries()[entry].name,
         ": this parameter gets its gradient in two parts of one backward ",
         "pass, which training on several ranks does not support");
  }
  arrived_[entry] = true;
  --buckets_[bucket_of_[entry]].missing;
  send_full_buckets(/*all=*/false);
}

void GradientBuckets::send_full_buckets(bool all) {
  for (; next_bucket_ < buckets_.size(); ++next_bucket_) {
    const Bucket& bucket = buckets_[next_bucket_];
    if (bucket.missing > 0 && !all) return;
    waits_.push_back(
        group_.begin_sum(parameters_.gradients().narrow(0, bucket.first, bucket.end - bucket.first)));
  }
}

void GradientBuckets::finish() {
  send_full_buckets(/*all=*/true);
  for (const auto& wait : waits_) wait();
  waits_.clear();
  summing_ = false;
}

}  // namespace rotor::train
