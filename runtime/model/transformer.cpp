// Block: norm -> q, k, v -> rotary embedding -> attention -> (sub-norm) -> o, added; norm -> gate, up ->
// act(gate) * up -> (sub-norm) -> down, added. Reference: transformers, modeling_bitnet.py, modeling_llama.py
// and modeling_qwen2.py; integrations/bitnet.py for norms of single linear layers and for those that stay
// dense.
#include "runtime/model/transformer.h"

#include <algorithm>
#include <array>

#include "rotor/core/error.h"
#include "runtime/ops/ops.h"

namespace rotor::runtime {
namespace {

/// The first rows of a tensor of the workspace.
Tensor first_rows(Tensor tensor, int64_t rows) {
  tensor.rows = rows;
  return tensor;
}

Transformer::Workspace first_rows(const Transformer::Workspace& all, int64_t rows) {
  Transformer::Workspace part;
  part.batch = rows;
  part.rope = all.rope;
  part.hidden = first_rows(all.hidden, rows);
  part.query = first_rows(all.query, rows);
  part.key = first_rows(all.key, rows);
  part.value = first_rows(all.value, rows);
  part.context = first_rows(all.context, rows);
  part.gate = first_rows(all.gate, rows);
  part.up = first_rows(all.up, rows);
  part.final_hidden = first_rows(all.final_hidden, rows);
  return part;
}

}  // namespace

Transformer::Transformer(const RotorFile& file, bool float_activations) : config_(file.config()) {
  if (!config_.is_transformer()) {
    fail(file.path(), ": expected a language model (model_type bitnet, llama or qwen2), found ",
         config_.model_type);
  }
  const TransformerConfig& t = config_.transformer;
  embedding_ = file.dense("model.embed_tokens.weight");
  for (int64_t i = 0; i < t.num_hidden_layers; ++i) {
    const std::string prefix = cat("model.layers.", i, ".");
    const auto matrix = [&](const std::string& name) {
      return linear(file, prefix + name, float_activations);
    };
    const auto gain = [&](const std::string& name) { return file.floats(prefix + name + ".weight"); };
    Layer layer;
    layer.input_norm = gain("input_layernorm");
    layer.query = matrix("self_attn.q_proj");
    layer.key = matrix("self_attn.k_proj");
    layer.value = matrix("self_attn.v_proj");
    layer.output = matrix("self_attn.o_proj");
    layer.post_attention_norm = gain("post_attention_layernorm");
    layer.gate = matrix("mlp.gate_proj");
    layer.up = matrix("mlp.up_proj");
    layer.down = matrix("mlp.down_proj");
    if (config_.has_sub_norms()) {
      layer.attention_sub_norm = gain("self_attn.attn_sub_norm");
      layer.ffn_sub_norm = gain("mlp.ffn_sub_norm");
    }
    layers_.push_back(layer);
  }
  final_norm_ = file.floats("model.norm.weight");
  if (t.ternary_head) {
    head_ = linear(file, "lm_head", float_activations);
  } else {
    head_.weights.rows = t.vocab_size;
    head_.weights.cols = t.hidden_size;
    head_.weights.dense = file.dense(head_name(t));
    screen_ = file.head_screen();
  }
}

Transformer::Linear Transformer::linear(const RotorFile& file, const std::string& name,
                                        bool float_activations) const {
  Linear layer;
  LinearWeights& weights = layer.weights;
  const std::string bias = name + ".bias";
  if (file.container().find(bias) != nullptr) weights.bias = file.floats(bias);
  if (config_.is_ternary(name)) {
    weights.ternary = file.ternary(name + ".weight");
    weights.rows = weights.ternary.rows;
    weights.cols = weights.ternary.cols;
    weights.activation_quantization =
        float_activations ? ActivationQuantization::none : config_.activation_quantization();
    if (config_.transformer.use_rms_norm) {
      layer.norm = {file.floats(name + ".rms_norm.weight"),
                    static_cast<float>(config_.transformer.linear_norm_eps)};
    }
    return layer;
  }
  const auto floats = file.floats(name + ".weight");
  const auto& shape = file.container().at(name + ".weight").shape;
  weights.rows = shape[0];
  weights.cols = shape[1];
  weights.dense = {shape[0], shape[1], DenseType::f32, reinterpret_cast<const uint8_t*>(floats.data()), {}};
  return layer;
}

Transformer::Workspace Transformer::make_workspace(Backend& backend, int64_t batch, int64_t context) const {
  const TransformerConfig& t = config_.transformer;
  Workspace workspace;
  workspace.batch = batch;
  workspace.rope = std::make_shared<RopeTable>(rope_table(t.head_dim, t.rope_theta, context));
  workspace.hidden = backend.allocate(batch, t.hidden_size);
  workspace.query = backend.allocate(batch, t.query_size());
  workspace.key = backend.allocate(batch, t.key_value_size());
  workspace.value = backend.allocate(batch, t.key_value_size());
  workspace.context = backend.allocate(batch, t.query_size());
  workspace.gate = backend.allocate(batch, t.intermediate_size);
  workspace.up = backend.allocate(batch, t.intermediate_size);
  workspace.final_hidden = backend.allocate(batch, t.hidden_size);
  return workspace;
}

KvCache Transformer::make_cache(Backend& backend, int64_t context, KvType type) const {
  const TransformerConfig& t = config_.transformer;
  return backend.allocate_kv_cache({.layers = t.num_hidden_layers,
                                    .heads = t.num_key_value_heads,
                                    .capacity = context,
                                    .head_dim = t.head_dim,
                                    .type = type,
                                    .storage = nullptr});
}

void Transformer::project(Backend& backend, const Tensor& x, std::span<const float> gain,
                          const Tensor& normed, std::initializer_list<Output> outputs) const {
  const InputNorm norm{gain, static_cast<float>(config_.transformer.rms_norm_eps)};
  const Linear& first = *outputs.begin()->linear;
  const bool one_input = std::ranges::all_of(outputs, [&](const Output& output) {
    return output.linear->norm.gain.empty() &&
           output.linear->weights.is_ternary() == first.weights.is_ternary();
  });
  if (one_input) {
    std::array<Projection, 3> projections;
    std::ranges::transform(outputs, projections.begin(), [](const Output& output) {
      return Projection{&output.linear->weights, output.y, output.add};
    });
    return ops::linear(backend, x, norm, {projections.data(), outputs.size()});
  }
  if (!gain.empty()) ops::rms_norm(backend, x, gain, norm.eps, normed);
  for (const Output& output : outputs) {
    const Projection projection{&output.linear->weights, output.y, output.add};
    ops::linear(backend, gain.empty() ? x : normed, output.linear->norm, {&projection, 1});
  }
}

void Transformer::run_layer(Backend& backend, const Workspace& w, const KvCache& cache, int64_t index,
                            int64_t position) const {
  const Layer& layer = layers_[static_cast<size_t>(index)];
  const Tensor& normed = w.final_hidden;  // free until the last layer is done
  project(backend, w.hidden, layer.input_norm, normed,
          {{&layer.query, w.query}, {&layer.key, w.key}, {&layer.value, w.value}});
  ops::attention(backend, w.query, w.key, w.value, *w.rope, cache, index, position, w.context);
  project(backend, w.context, layer.attention_sub_norm, w.context, {{&layer.output, w.hidden, true}});

  project(backend, w.hidden, layer.post_attention_norm, normed, {{&layer.gate, w.gate}, {&layer.up, w.up}});
  if (layer.down.norm.gain.empty()) {
    const Projection down{&layer.down.weights, w.hidden, true};
    const InputNorm norm{layer.ffn_sub_norm, static_cast<float>(config_.transformer.rms_norm_eps)};
    ops::gated_linear(backend, w.gate, w.up, config_.transformer.hidden_act, norm, {&down, 1});
  } else {
    ops::gate(backend, w.gate, w.up, config_.transformer.hidden_act, w.gate);
    project(backend, w.gate, layer.ffn_sub_norm, w.gate, {{&layer.down, w.hidden, true}});
  }
}

Tensor Transformer::forward(Backend& backend, const Workspace& workspace, const KvCache& cache,
                            std::span<const int32_t> ids, int64_t position, const Observer& observer) const {
  const Workspace part = first_rows(workspace, static_cast<int64_t>(ids.size()));
  ops::embed(backend, embedding_, ids, part.hidden);
  if (observer) observer(0, part.hidden);
  for (int64_t i = 0; i < config_.transformer.num_hidden_layers; ++i) {
    run_layer(backend, part, cache, i, position);
    if (observer) observer(i + 1, part.hidden);
  }
  ops::rms_norm(backend, part.hidden, final_norm_, static_cast<float>(config_.transformer.rms_norm_eps),
                part.final_hidden);
  if (observer) observer(config_.transformer.num_hidden_layers + 1, part.final_hidden);
  return part.final_hidden;
}

void Transformer::head(Backend& backend, const Tensor& hidden, const Tensor& logits) const {
  const Projection projection{&head_.weights, logits};
  ops::linear(backend, hidden, head_.norm, {&projection, 1});
}

int64_t Transformer::screened_head(Backend& backend, const Tensor& hidden, const WantedLogits& wanted,
                                   const Tensor& logits) const {
  return ops::screened_head(backend, hidden, {&head_.weights, screen_}, wanted, logits);
}

}  // namespace rotor::runtime
