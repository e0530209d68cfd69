// The sentence encoder of BertConfig: its forward pass, from token ids to one vector a text. It runs on the
// CPU. Tokenizing and batching are engine/embedding_model.h.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "rotor/formats/rotor_file.h"
#include "runtime/backends/cpu/cpu_encoder_ops.h"

namespace rotor::runtime {

class Encoder {
 public:
  /// Called with the hidden states [T, hidden_size] of the embeddings (layer 0) and behind each layer.
  using Observer = std::function<void(int64_t layer, std::span<const float> hidden)>;

  /// Memory for the activations of up to `tokens` tokens; one a caller.
  struct Workspace {
    Tensor hidden, query, key, value, context, intermediate;
  };

  /// Views `file`, which must outlive this object. Throws Error if it holds no sentence encoder.
  explicit Encoder(const RotorFile& file);

  const BertConfig& config() const { return config_; }
  Workspace make_workspace(int64_t tokens) const;

  /// Vectors [texts, hidden_size] of texts of `lengths` tokens each, of 1 to max_position_embeddings, whose
  /// ids, [CLS] and [SEP] among them and all below vocab_size, follow one another: pooled, and normalised if
  /// the model does that. The workspace has room for all of them. A text's vector does not depend on the
  /// others.
  void forward(CpuCompute& compute, Workspace& workspace, std::span<const int32_t> ids,
               std::span<const int64_t> lengths, std::span<float> vectors,
               const Observer& observer = {}) const;

 private:
  struct LayerNorm {
    std::span<const float> gain, bias;
  };
  struct Layer {
    LinearWeights query, key, value, output, intermediate, down;
    LayerNorm attention_norm, output_norm;
  };

  static LinearWeights linear(const RotorFile& file, const std::string& name);
  static LayerNorm norm(const RotorFile& file, const std::string& name);
  void embed(CpuCompute& compute, const Tensor& hidden, std::span<const int32_t> ids,
             std::span<const int64_t> lengths) const;
  void run_layer(CpuCompute& compute, const Workspace& w, const Layer& layer,
                 std::span<const int64_t> lengths) const;
  void pool(const Tensor& hidden, int64_t first, int64_t length, std::span<float> vector) const;

  BertConfig config_;
  DenseMatrix words_, positions_, types_;
  LayerNorm embedding_norm_;
  std::vector<Layer> layers_;
};

}  // namespace rotor::runtime
