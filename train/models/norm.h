// Root-mean-square normalisation.
#pragma once

#include <torch/torch.h>

namespace rotor::train {

/// x / sqrt(mean(x^2) + eps) * weight over the last dimension (Zhang and Sennrich, arXiv 1910.07467, eq. 4).
class RmsNormImpl : public torch::nn::Cloneable<RmsNormImpl> {
 public:
  RmsNormImpl(int64_t size, double eps) : size_(size), eps_(eps) { RmsNormImpl::reset(); }
  void reset() override { weight = register_parameter("weight", torch::ones({size_})); }
  void pretty_print(std::ostream& stream) const override {
    stream << "rotor::train::RmsNorm(" << size_ << ", eps=" << eps_ << ")";
  }
  torch::Tensor forward(const torch::Tensor& x) {
    return x * torch::rsqrt(x.square().mean(-1, /*keepdim=*/true) + eps_) * weight;
  }

  torch::Tensor weight;  ///< [size]

 private:
  int64_t size_;
  double eps_;
};
TORCH_MODULE(RmsNorm);

}  // namespace rotor::train
