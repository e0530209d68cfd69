// Parameters become views.
#include "train/distributed/flat_parameters.h"

#include <algorithm>

namespace rotor::train {
namespace {

constexpr int64_t kAlignment =
    16;  // floats of a cache line, so that views start as tensors of their own would

}  // namespace

FlatParameters::FlatParameters(torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  int64_t size = 0;
  const auto named = module.named_parameters().pairs();
  torch::TensorOptions options;
  for (auto it = named.rbegin(); it != named.rend(); ++it) {
    if (!it->second.requires_grad()) continue;
    entries_.push_back({it->first, it->second, size, it->second.numel(), {}});
    size += (it->second.numel() + kAlignment - 1) / kAlignment * kAlignment;
    options = it->second.options().requires_grad(false);
  }
  values_ = torch::zeros({size}, options);
  gradients_ = torch::zeros({size}, options);
  for (Entry& entry : entries_) {
    const auto shape = entry.parameter.sizes().vec();
    const torch::Tensor place = values_.narrow(0, entry.first, entry.count).view(shape);
    place.copy_(entry.parameter);
    entry.parameter.set_data(place);
    entry.gradient = gradients_.narrow(0, entry.first, entry.count).view(shape);
  }
}

std::optional<std::pair<int64_t, int64_t>> FlatParameters::common(const Entry& entry,
                                                                  std::pair<int64_t, int64_t> range) {
  const int64_t first = std::max(entry.first, range.first);
  const int64_t end = std::min(entry.end(), range.second);
  if (first >= end) return std::nullopt;
  return std::pair(first, end);
}

}  // namespace rotor::train
