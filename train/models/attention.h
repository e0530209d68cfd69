// Rotary embedding and causal attention with grouped heads, on LibTorch.
#pragma once

#include <torch/torch.h>

namespace rotor::train {

/// Where each token stands, and what it may attend to: computed once for all layers.
struct AttentionContext {
  torch::Tensor cos, sin;  ///< [T, head_dim / 2], or [B, T, 1, head_dim / 2] with segments
  torch::Tensor mask;      ///< 0 or -inf, [T, T], or [B, 1, 1, T, T] with segments
};

/// bool [T, T], or [B, T, T] with `segments` [B, T]: whether the first token may not look at the second, as
/// it comes later or is of another segment.
torch::Tensor forbidden_pairs(int64_t length, const torch::Tensor& segments, torch::Device device);

/// `cos`, `sin`: the tables of core/rope.h as [positions, head_dim / 2]. `segments` as in
/// TransformerImpl::forward.
AttentionContext make_attention_context(const torch::Tensor& cos, const torch::Tensor& sin, int64_t length,
                                        const torch::Tensor& segments);

/// Rotates heads x [B, T, H, head_dim] by their tokens' positions (rotate-half form, arXiv 2104.09864 eq.
/// 34).
torch::Tensor rotate(const torch::Tensor& x, const AttentionContext& context);

/// q [B, T, H, d], k and v [B, T, K, d]: query head j attends with key/value head j / (H / K), scores scaled
/// by 1/sqrt(d). Computed in `compute`; returns [B, T, H * d] float32.
torch::Tensor attend(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                     const AttentionContext& context, torch::ScalarType compute);

}  // namespace rotor::train
