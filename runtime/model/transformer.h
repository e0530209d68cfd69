// The decoder-only transformer of TransformerConfig (BitNet b1.58, Llama and Qwen2): its forward pass,
// written once on ops. The module that trained it is train/models/transformer.h; the seam tests hold one
// against the other. How a conversation proceeds is engine/session.h.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <vector>

#include "runtime/backends/backend.h"
#include "runtime/model/adapter.h"

namespace rotor::runtime {

class Transformer {
 public:
  /// Called with hidden states, row-major [T, hidden_size]: 0 the embedding's output, i the output of layer i
  /// (from 1), and num_hidden_layers + 1 behind the final norm.
  using Observer = std::function<void(int64_t layer, std::span<const float> hidden)>;

  /// Layers first .. end - 1.
  struct LayerRange {
    int64_t first = 0;
    int64_t end = 0;

    int64_t size() const { return end - first; }
  };

  /// Memory for the activations of so many tokens at once.
  struct Workspace {
    std::shared_ptr<const RopeTable> rope;
    std::shared_ptr<void> held_rope;  ///< in the backend's memory
    Tensor hidden, query, key, value, context, gate, up, final_hidden;
    std::array<Tensor, 3> low_rank;  ///< of layers with one input, between an adapter's matrices
  };

  /// The part of a forward pass that one backend computes; one a session.
  struct Stage {
    Backend* backend = nullptr;
    LayerRange layers;
    Workspace workspace;
    KvCache cache;                            ///< of these layers
    std::span<const ActiveAdapter> adapters;  ///< of attach()
    std::shared_ptr<void> held_adapters;      ///< in the backend's memory
  };
  struct StageOptions {
    int64_t batch = 1;    ///< tokens at once, at most
    int64_t context = 1;  ///< positions are below this
    KvType kv = KvType::f16;
    int64_t kv_pages = 0;  ///< pages of kPageTokens in the cache; 0: one page of `context` tokens
  };
  static constexpr int64_t kPageTokens = 32;
  static constexpr int64_t pages_for(int64_t tokens) { return (tokens + kPageTokens - 1) / kPageTokens; }

  /// Views `file`, which must outlive this object. Throws Error if it holds no transformer.
  /// `float_activations` leaves the inputs of ternary layers unquantized: slow, to tell rounding from errors.
  explicit Transformer(const RotorFile& file, bool float_activations = false);

  const ModelConfig& config() const { return config_; }

  /// `backend` must outlive the stage.
  Stage make_stage(Backend& backend, LayerRange layers, const StageOptions& options) const;

  /// Throws Error, naming the adapter, unless it fits this model and its weight is finite.
  void check_adapter(const ActiveAdapter& active) const;
  /// From now on the stage computes with these adapters, which check_adapter() has seen, in place of those
  /// before. `adapters` must outlive that; `batch` is the stage's. Throws Error if there is no memory for
  /// them, and then changes nothing.
  void attach(Stage& stage, std::span<const ActiveAdapter> adapters, int64_t batch) const;

  /// Runs `ids`, at most as many as a stage takes at once, which are the rows of `texts`, and adds them to
  /// the caches: a text's tokens before them are there. `stages` have all layers in order; the last one,
  /// which may have none of them, computes the embedding and the final norm as well: a tied head is the
  /// embedding. Returns the hidden states behind the final norm, [T, hidden_size], which lie in the last
  /// stage. What is computed for a token does not depend on how tokens are grouped into calls.
  Tensor forward(std::span<const Stage> stages, std::span<const int32_t> ids, std::span<const TextRows> texts,
                 const Observer& observer = {}) const;

  /// logits [T, vocab_size] of hidden states [T, hidden_size] that forward() gave.
  void head(Backend& backend, const Tensor& hidden, const Tensor& logits) const;
  /// Whether the file holds a copy of the head by which it can be screened.
  bool can_screen() const { return !screen_.planes.tiles.empty(); }
  /// The wanted logits [1, vocab_size] of hidden states [1, hidden_size]. Returns how many rows were read; 0:
  /// head() is to be called. Only if can_screen().
  int64_t screened_head(Backend& backend, const Tensor& hidden, const WantedLogits& wanted,
                        const Tensor& logits) const;

  /// What ops are given of the layers.
  std::vector<WeightBytes> layer_weights(LayerRange layers) const;
  /// Of embedding, final norm and head, but not the copy that screens it: no device with a memory of its own
  /// reads that.
  std::vector<WeightBytes> head_weights() const;
  /// Bytes that make_stage() takes: for each layer, and for all of them together if there are any.
  uint64_t cache_bytes_per_layer(const StageOptions& options) const;
  uint64_t workspace_bytes(const StageOptions& options) const;
  /// Bytes that attach() takes besides the adapters' own.
  static uint64_t adapter_workspace_bytes(std::span<const ActiveAdapter> adapters,
                                          const StageOptions& options);

 private:
  /// A linear layer and the norm of its own input (use_rms_norm), or none.
  struct Linear {
    LinearWeights weights;
    InputNorm norm;
    int64_t block = 0;  // where adapters look for it, unless it is the head
    BlockLinear which = BlockLinear::query;
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
  void project(const Stage& stage, const Tensor& x, std::span<const float> gain, const Tensor& normed,
               std::initializer_list<Output> outputs) const;
  static bool is_adapted(const Stage& stage, const Linear& linear);
  /// Adds what the stage's adapters make of the layers' input `x`, in front of their own norms.
  static void add_adapters(const Stage& stage, const Tensor& x, std::span<const Output> outputs);
  /// The workspace's tensors beside hidden and final_hidden, and their columns.
  struct Width {
    Tensor Workspace::*tensor;
    int64_t cols;
  };
  std::array<Width, 6> layer_widths() const;
  /// `stage` with tensors of as many rows. `index` counts the model's layers.
  void run_layer(const Stage& stage, int64_t index, std::span<const TextRows> texts) const;

  ModelConfig config_;
  DenseMatrix embedding_;
  std::vector<Layer> layers_;
  std::span<const float> final_norm_;
  Linear head_;
  HeadScreen screen_;
};

}  // namespace rotor::runtime
