// The language model of TransformerConfig as a LibTorch module: BitNet b1.58, Llama and Qwen2. Parameter
// names are those of core/tensor_table.h. Reference: transformers, modeling_bitnet.py, modeling_llama.py and
// modeling_qwen2.py. The packed model that it becomes is runtime/model/transformer.h.
#pragma once

#include <torch/torch.h>

#include <functional>
#include <memory>
#include <vector>

#include "rotor/core/model_config.h"
#include "rotor/formats/lora_config.h"
#include "train/models/norm.h"
#include "train/models/ternary_linear.h"

namespace rotor::train {

struct TransformerOptions {
  /// What products, attention and logits are computed in; the residual stream, norms and latents stay
  /// float32.
  torch::ScalarType compute = torch::kFloat32;
  /// Keeps one hidden state a layer for the backward pass and computes the rest again: less memory, a third
  /// more work.
  bool activation_checkpointing = false;
  /// Leaves the inputs of ternary layers unquantized: to tell rounding from errors.
  bool float_activations = false;
  /// Ternary layers are kept as planes (TernaryLinearOptions::packed), and nothing but adapters is trained.
  bool frozen = false;
  /// Layers that it chooses get an adapter.
  std::shared_ptr<const LoraConfig> lora = nullptr;
};

/// One block, and what it shares with the others. An implementation detail of TransformerImpl.
struct TransformerLayerImpl;

class TransformerImpl : public torch::nn::Module {
 public:
  /// Called with hidden states [B, T, hidden_size]: 0 the embedding's output, i the output of layer i (from
  /// 1), and num_hidden_layers + 1 behind the final norm.
  using Observer = std::function<void(int64_t layer, const torch::Tensor& hidden)>;

  /// Fresh weights: normal with initializer_range, norms 1 (as transformers' _init_weights). Throws Error if
  /// `config` is not valid or no transformer, or if a layer is too wide for exact sums.
  explicit TransformerImpl(const ModelConfig& config, const TransformerOptions& options = {});

  /// Token ids int64 [B, T] to logits float32 [B, T, vocab_size]. `segments` int64 [B, T], or undefined:
  /// tokens attend only to earlier ones of the same number, and positions count from the start of the
  /// segment.
  torch::Tensor forward(const torch::Tensor& ids, const torch::Tensor& segments = {});
  torch::Tensor forward_observed(const torch::Tensor& ids, const torch::Tensor& segments,
                                 const Observer& observer);

  const ModelConfig& config() const { return config_; }

  /// Of all ternary layers (TernaryLinearImpl::set_ternary_share).
  void set_ternary_share(double share);

 private:
  torch::Tensor head(const torch::Tensor& hidden);

  ModelConfig config_;
  TransformerOptions options_;
  torch::nn::Embedding embedding_ = nullptr;
  std::vector<std::shared_ptr<TransformerLayerImpl>> layers_;
  RmsNorm norm_ = nullptr;
  TernaryLinear lm_head_ = nullptr;  // null if tied
  torch::Tensor cos_, sin_;          // [max_position_embeddings, head_dim / 2], made on first use
};
TORCH_MODULE(Transformer);

}  // namespace rotor::train
