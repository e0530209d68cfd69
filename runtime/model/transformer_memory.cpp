// What a transformer takes of a backend's memory: the bytes of its weights, and what a stage allocates. How
// it computes is transformer.cpp.
#include <algorithm>

#include "runtime/model/transformer.h"
#include "runtime/model/weight_list.h"

namespace rotor::runtime {
namespace {

using Weights = std::vector<WeightBytes>;

Weights rope_weights(const RopeTable& table) {
  Weights list;
  add_weights(list, table.cos);
  add_weights(list, table.sin);
  return list;
}

}  // namespace

std::array<Transformer::Width, 6> Transformer::layer_widths() const {
  const TransformerConfig& t = config_.transformer;
  return {{{&Workspace::query, t.query_size()},
           {&Workspace::key, t.key_value_size()},
           {&Workspace::value, t.key_value_size()},
           {&Workspace::context, t.query_size()},
           {&Workspace::gate, t.intermediate_size},
           {&Workspace::up, t.intermediate_size}}};
}

Transformer::Stage Transformer::make_stage(Backend& backend, LayerRange layers,
                                           const StageOptions& options) const {
  const TransformerConfig& t = config_.transformer;
  Stage stage{.backend = &backend, .layers = layers, .workspace = {}, .cache = {}};
  Workspace& workspace = stage.workspace;
  workspace.hidden = backend.allocate(options.batch, t.hidden_size);
  workspace.final_hidden = backend.allocate(options.batch, t.hidden_size);
  if (layers.size() == 0) return stage;
  workspace.rope = std::make_shared<RopeTable>(rope_table(t.head_dim, t.rope_theta, options.context));
  workspace.held_rope = backend.hold(rope_weights(*workspace.rope));
  for (const Width& width : layer_widths()) {
    workspace.*width.tensor = backend.allocate(options.batch, width.cols);
  }
  stage.cache =
      backend.allocate_kv_cache({.layers = layers.size(),
                                 .heads = t.num_key_value_heads,
                                 .pages = std::max<int64_t>(options.kv_pages, 1),
                                 .page_tokens = options.kv_pages > 0 ? kPageTokens : options.context,
                                 .head_dim = t.head_dim,
                                 .type = options.kv,
                                 .storage = nullptr});
  return stage;
}

std::vector<WeightBytes> Transformer::layer_weights(LayerRange layers) const {
  Weights list;
  for (int64_t i = layers.first; i < layers.end; ++i) {
    const Layer& layer = layers_[static_cast<size_t>(i)];
    for (const auto& gain :
         {layer.input_norm, layer.attention_sub_norm, layer.post_attention_norm, layer.ffn_sub_norm}) {
      add_weights(list, gain);
    }
    for (const Linear* linear :
         {&layer.query, &layer.key, &layer.value, &layer.output, &layer.gate, &layer.up, &layer.down}) {
      add_weights(list, linear->weights);
      add_weights(list, linear->norm.gain);
    }
  }
  return list;
}

std::vector<WeightBytes> Transformer::head_weights() const {
  Weights list;
  add_weights(list, embedding_);
  add_weights(list, final_norm_);
  if (head_.weights.dense.data != embedding_.data) add_weights(list, head_.weights);
  add_weights(list, head_.norm.gain);
  return list;
}

uint64_t Transformer::cache_bytes_per_layer(const StageOptions& options) const {
  const TransformerConfig& t = config_.transformer;
  const size_t head_bytes = static_cast<size_t>(t.head_dim) * dense_bytes(options.kv) +
                            (options.kv == KvType::q8 ? sizeof(float) : 0);
  const int64_t tokens = options.kv_pages > 0 ? options.kv_pages * kPageTokens : options.context;
  return 2 * head_bytes * static_cast<uint64_t>(t.num_key_value_heads * tokens);
}

uint64_t Transformer::workspace_bytes(const StageOptions& options) const {
  const TransformerConfig& t = config_.transformer;
  int64_t cols = 2 * t.hidden_size;
  for (const Width& width : layer_widths()) cols += width.cols;
  const int64_t rope = 2 * options.context * (t.head_dim / 2);
  return static_cast<uint64_t>(options.batch * cols + rope) * sizeof(float);
}

}  // namespace rotor::runtime
