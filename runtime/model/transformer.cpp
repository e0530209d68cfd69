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

constexpr std::array kTensors = {&Transformer::Workspace::hidden,  &Transformer::Workspace::query,
                                 &Transformer::Workspace::key,     &Transformer::Workspace::value,
                                 &Transformer::Workspace::context, &Transformer::Workspace::gate,
                                 &Transformer::Workspace::up,      &Transformer::Workspace::final_hidden};

/// The stage for that many tokens, in the same memory.
Transformer::Stage first_rows(const Transformer::Stage& stage, int64_t rows) {
  Transformer::Stage part = stage;
  for (const auto tensor : kTensors) (part.workspace.*tensor).rows = rows;
  for (Tensor& tensor : part.workspace.low_rank) tensor.rows = rows;
  return part;
}

/// Copies as many hidden states as `to` has from one backend's memory into another's.
void carry(const Transformer::Stage& from, const Transformer::Stage& to) {
  Tensor hidden = from.workspace.hidden;
  hidden.rows = to.workspace.hidden.rows;
  std::vector<float> values(static_cast<size_t>(hidden.rows * hidden.cols));
  from.backend->download(hidden, values);
  to.backend->upload(values, to.workspace.hidden);
}

}  // namespace

Transformer::Transformer(const RotorFile& file, bool float_activations) : config_(file.config()) {
  if (!config_.is_transformer()) {
    fail(file.path(), ": expected a language model (model_type bitnet, llama or qwen2), found ",
         config_.is_encoder() ? "a sentence encoder (bert): rotor embed gives its vectors"
                              : config_.model_type);
  }
  const TransformerConfig& t = config_.transformer;
  embedding_ = file.dense("model.embed_tokens.weight");
  for (int64_t i = 0; i < t.num_hidden_layers; ++i) {
    const std::string prefix = cat("model.layers.", i, ".");
    const auto matrix = [&](BlockLinear which, const std::string& name) {
      Linear layer = linear(file, prefix + name, float_activations);
      layer.block = i;
      layer.which = which;
      return layer;
    };
    const auto gain = [&](const std::string& name) { return file.floats(prefix + name + ".weight"); };
    Layer layer;
    layer.input_norm = gain("input_layernorm");
    layer.query = matrix(BlockLinear::query, "self_attn.q_proj");
    layer.key = matrix(BlockLinear::key, "self_attn.k_proj");
    layer.value = matrix(BlockLinear::value, "self_attn.v_proj");
    layer.output = matrix(BlockLinear::output, "self_attn.o_proj");
    layer.post_attention_norm = gain("post_attention_layernorm");
    layer.gate = matrix(BlockLinear::gate, "mlp.gate_proj");
    layer.up = matrix(BlockLinear::up, "mlp.up_proj");
    layer.down = matrix(BlockLinear::down, "mlp.down_proj");
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

void Transformer::project(const Stage& stage, const Tensor& x, std::span<const float> gain,
                          const Tensor& normed, std::initializer_list<Output> outputs) const {
  Backend& backend = *stage.backend;
  InputNorm norm{gain, static_cast<float>(config_.transformer.rms_norm_eps)};
  const Linear& first = *outputs.begin()->linear;
  const bool one_input = std::ranges::all_of(outputs, [&](const Output& output) {
    return output.linear->norm.gain.empty() &&
           output.linear->weights.is_ternary() == first.weights.is_ternary();
  });
  const bool adapted =
      std::ranges::any_of(outputs, [&](const Output& output) { return is_adapted(stage, *output.linear); });
  const Tensor* input = &x;
  if (!gain.empty() && (adapted || !one_input)) {  // else the op does it
    ops::rms_norm(backend, x, gain, norm.eps, normed);
    input = &normed;
    norm = {};
  }
  if (one_input) {
    std::array<Projection, 3> projections;
    std::ranges::transform(outputs, projections.begin(), [](const Output& output) {
      return Projection{&output.linear->weights, output.y, output.add};
    });
    ops::linear(backend, *input, norm, {projections.data(), outputs.size()});
  } else {
    for (const Output& output : outputs) {
      const Projection projection{&output.linear->weights, output.y, output.add};
      ops::linear(backend, *input, output.linear->norm, {&projection, 1});
    }
  }
  if (adapted) add_adapters(stage, *input, outputs);
}

void Transformer::run_layer(const Stage& stage, int64_t index, std::span<const TextRows> texts) const {
  Backend& backend = *stage.backend;
  const Workspace& w = stage.workspace;
  const Layer& layer = layers_[static_cast<size_t>(index)];
  const Tensor& normed = w.final_hidden;  // free until the last layer is done
  project(stage, w.hidden, layer.input_norm, normed,
          {{&layer.query, w.query}, {&layer.key, w.key}, {&layer.value, w.value}});
  ops::attention(backend, w.query, w.key, w.value, *w.rope, stage.cache, index - stage.layers.first, texts,
                 w.context);
  project(stage, w.context, layer.attention_sub_norm, w.context, {{&layer.output, w.hidden, true}});

  project(stage, w.hidden, layer.post_attention_norm, normed, {{&layer.gate, w.gate}, {&layer.up, w.up}});
  if (layer.down.norm.gain.empty() && !is_adapted(stage, layer.down)) {
    const Projection down{&layer.down.weights, w.hidden, true};
    const InputNorm norm{layer.ffn_sub_norm, static_cast<float>(config_.transformer.rms_norm_eps)};
    ops::gated_linear(backend, w.gate, w.up, config_.transformer.hidden_act, norm, {&down, 1});
  } else {
    ops::gate(backend, w.gate, w.up, config_.transformer.hidden_act, w.gate);
    project(stage, w.gate, layer.ffn_sub_norm, w.gate, {{&layer.down, w.hidden, true}});
  }
}

Tensor Transformer::forward(std::span<const Stage> stages, std::span<const int32_t> ids,
                            std::span<const TextRows> texts, const Observer& observer) const {
  std::vector<float> seen;
  const auto show = [&](int64_t layer, const Stage& stage, const Tensor& hidden) {
    if (!observer) return;
    seen.resize(static_cast<size_t>(hidden.rows * hidden.cols));
    stage.backend->download(hidden, seen);
    observer(layer, seen);
  };
  const auto run_layers = [&](const Stage& stage) {
    for (int64_t i = stage.layers.first; i < stage.layers.end; ++i) {
      run_layer(stage, i, texts);
      show(i + 1, stage, stage.workspace.hidden);
    }
  };
  const auto rows = static_cast<int64_t>(ids.size());
  const Stage last = first_rows(stages.back(), rows);
  ops::embed(*last.backend, embedding_, ids, last.workspace.hidden);
  show(0, last, last.workspace.hidden);
  const Stage* before = &stages.back();
  for (const Stage& whole : stages.first(stages.size() - 1)) {
    const Stage stage = first_rows(whole, rows);
    carry(*before, stage);
    run_layers(stage);
    before = &whole;
  }
  if (stages.size() > 1) carry(*before, last);
  run_layers(last);
  const Tensor& final_hidden = last.workspace.final_hidden;
  ops::rms_norm(*last.backend, last.workspace.hidden, final_norm_,
                static_cast<float>(config_.transformer.rms_norm_eps), final_hidden);
  show(config_.transformer.num_hidden_layers + 1, last, final_hidden);
  return final_hidden;
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
