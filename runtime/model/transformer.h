// The decoder-only transformer of TransformerConfig (BitNet b1.58, Llama and Qwen2): its forward pass,
// written once on ops. The module that trained it is train/models/transformer.h; the seam tests hold one
// against the other. How a conversation proceeds is engine/session.h.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <vector>

#include "runtime/backends/backend.h"

namespace rotor::runtime {

class Transformer {
 public:
  /// Called with hidden states [T, hidden_size]: 0 the embedding's output, i the output of layer i (from 1),
  /// and num_hidden_layers + 1 behind the final norm.
  using Observer = std::function<void(int64_t layer, const Tensor& hidden)>;

  /// Memory for the activations of up to `batch` tokens; one a session.
  struct Workspace {
    int64_t batch = 0;
    std::shared_ptr<const RopeTable> rope;
    Tensor hidden, query, key, value, context, gate, up, final_hidden;
  };

  /// Views `file`, which must outlive this object. Throws Error if it holds no transformer.
  /// `float_activations` leaves the inputs of ternary layers unquantized: slow, to tell rounding from errors.
  explicit Transformer(const RotorFile& file, bool float_activations = false);

  const ModelConfig& config() const { return config_; }

  /// For positions below `context`.
  Workspace make_workspace(Backend& backend, int64_t batch, int64_t context) const;
  KvCache make_cache(Backend& backend, int64_t context, KvType type) const;

  /// Runs `ids`, at most workspace.batch of them, at position, position + 1, ... behind what is in the cache,
  /// and adds them to it. Returns the hidden states behind the final norm, [T, hidden_size], which lie in the
  /// workspace. What is computed for a token does not depend on how tokens are grouped into calls.
  Tensor forward(Backend& backend, const Workspace& workspace, const KvCache& cache,
                 std::span<const int32_t> ids, int64_t position, const Observer& observer = {}) const;

  /// logits [T, vocab_size] of hidden states [T, hidden_size] that forward() gave.
  void head(Backend& backend, const Tensor& hidden, const Tensor& logits) const;
  /// Whether the file holds a copy of the head by which it can be screened.
  bool can_screen() const { return !screen_.planes.tiles.empty(); }
  /// The wanted logits [1, vocab_size] of hidden states [1, hidden_size]. Returns how many rows were read; 0:
  /// head() is to be called. Only if can_screen().
  int64_t screened_head(Backend& backend, const Tensor& hidden, const WantedLogits& wanted,
                        const Tensor& logits) const;

 private:
  /// A linear layer and the norm of its own input (use_rms_norm), or none.
  struct Linear {
    LinearWeights weights;
    InputNorm norm;
  };
  struct Layer {
    std::span<const float> input_norm, attention_sub_norm, post_attention_norm,
        ffn_sub_norm;  // sub-norms: or empty
    Linear query, key, value, output, gate, up, down;
  };
  struct Output {
    const Linear* linear;
    Tensor y;
    bool add = false;
  };

  Linear linear(const RotorFile& file, const std::string& name, bool float_activations) const;
  /// At most three linear layers of norm(x); no norm if `gain` is empty. norm(x) itself, where it is needed,
  /// goes to `normed`, [T, D] as x, which it may be.
  void project(Backend& backend, const Tensor& x, std::span<const float> gain, const Tensor& normed,
               std::initializer_list<Output> outputs) const;
  void run_layer(Backend& backend, const Workspace& workspace, const KvCache& cache, int64_t index,
                 int64_t position) const;

  ModelConfig config_;
  DenseMatrix embedding_;
  std::vector<Layer> layers_;
  std::span<const float> final_norm_;
  Linear head_;
  HeadScreen screen_;
};

}  // namespace rotor::runtime
