// Explicit softmax(q k^T) v: it runs on every LibTorch from 1.13 on, and takes any mask.
#include "train/models/attention.h"

#include <cmath>
#include <limits>

namespace rotor::train {
namespace {

/// int64 [B, T]: distance of each token from the start of its segment.
torch::Tensor positions_in_segments(const torch::Tensor& segments) {
  const int64_t length = segments.size(1);
  const torch::Tensor index = torch::arange(length, segments.options()).expand_as(segments);
  const torch::Tensor starts_here =
      torch::cat({torch::ones_like(segments.narrow(1, 0, 1), torch::kBool),
                  segments.narrow(1, 1, length - 1).ne(segments.narrow(1, 0, length - 1))},
                 1);
  const torch::Tensor start = std::get<0>((index * starts_here).cummax(1));
  return index - start;
}

}  // namespace

torch::Tensor forbidden_pairs(int64_t length, const torch::Tensor& segments, torch::Device device) {
  const torch::Tensor later =
      torch::ones({length, length}, torch::TensorOptions().dtype(torch::kBool).device(device)).triu(1);
  return segments.defined() ? later.logical_or(segments.unsqueeze(2).ne(segments.unsqueeze(1))) : later;
}

AttentionContext make_attention_context(const torch::Tensor& cos, const torch::Tensor& sin, int64_t length,
                                        const torch::Tensor& segments) {
  const torch::NoGradGuard no_grad;
  AttentionContext context;
  torch::Tensor forbidden = forbidden_pairs(length, segments, cos.device());
  if (segments.defined()) {
    const torch::Tensor positions = positions_in_segments(segments);
    context.cos = cos.index({positions}).unsqueeze(2);
    context.sin = sin.index({positions}).unsqueeze(2);
    forbidden = forbidden.unsqueeze(1).unsqueeze(1);
  } else {
    context.cos = cos.narrow(0, 0, length).unsqueeze(1);
    context.sin = sin.narrow(0, 0, length).unsqueeze(1);
  }
  context.mask = torch::zeros(forbidden.sizes(), cos.options())
                     .masked_fill_(forbidden, -std::numeric_limits<float>::infinity());
  return context;
}

torch::Tensor rotate(const torch::Tensor& x, const AttentionContext& context) {
  const auto halves = x.chunk(2, -1);
  return torch::cat(
      {halves[0] * context.cos - halves[1] * context.sin, halves[1] * context.cos + halves[0] * context.sin},
      -1);
}

torch::Tensor attend(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                     const AttentionContext& context, torch::ScalarType compute) {
  const int64_t batch = q.size(0);
  const int64_t length = q.size(1);
  const int64_t width = q.size(3);
  const int64_t kv_heads = k.size(2);
  const int64_t group = q.size(2) / kv_heads;
  // [B, K, group, T, d] and [B, K, 1, T, d]: the heads of a group share keys without copying them.
  const torch::Tensor queries = (q * (1.0 / std::sqrt(static_cast<double>(width))))
                                    .to(compute)
                                    .view({batch, length, kv_heads, group, width});
  const torch::Tensor keys = k.to(compute).permute({0, 2, 1, 3});
  const torch::Tensor values = v.to(compute).permute({0, 2, 1, 3});
  const torch::Tensor grouped =
      queries.permute({0, 2, 3, 1, 4}).reshape({batch, kv_heads, group * length, width});
  torch::Tensor scores =
      torch::matmul(grouped, keys.transpose(-2, -1)).view({batch, kv_heads, group, length, length});
  scores = torch::softmax((scores + context.mask).to(torch::kFloat32), -1).to(compute);
  const torch::Tensor mixed = torch::matmul(scores.view({batch, kv_heads, group * length, length}), values);
  return mixed.view({batch, kv_heads, group, length, width})
      .permute({0, 3, 1, 2, 4})
      .reshape({batch, length, kv_heads * group * width})
      .to(torch::kFloat32);
}

}  // namespace rotor::train
