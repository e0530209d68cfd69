// One function an architecture; a new one is a new function and a line in tensor_table().
#include "rotor/core/tensor_table.h"

#include <algorithm>

#include "rotor/core/error.h"

namespace rotor {
namespace {

std::vector<TensorSpec> mlp_table(const MlpConfig& mlp) {
  std::vector<TensorSpec> table;
  for (int64_t i = 0; i < mlp.num_layers(); ++i) {
    const std::string layer = cat("layers.", i, ".");
    const int64_t in = mlp.layer_sizes[static_cast<size_t>(i)];
    const int64_t out = mlp.layer_sizes[static_cast<size_t>(i) + 1];
    table.push_back({layer + "linear.weight", {out, in}, TensorRole::linear});
    if (mlp.bias) table.push_back({layer + "linear.bias", {out}, TensorRole::vector});
    const bool last = i + 1 == mlp.num_layers();
    if (mlp.norm == Norm::rms && !last) table.push_back({layer + "norm.weight", {out}, TensorRole::vector});
  }
  return table;
}

/// Names and order of transformers' checkpoints.
std::vector<TensorSpec> transformer_table(const ModelConfig& config) {
  const TransformerConfig& t = config.transformer;
  const int64_t hidden = t.hidden_size;
  std::vector<TensorSpec> table;
  const auto norm = [&](const std::string& name, int64_t size) {
    table.push_back({name + ".weight", {size}, TensorRole::vector});
  };
  const auto linear = [&](const std::string& name, int64_t out, int64_t in) {
    const bool is_ternary = config.is_ternary(name);
    if (is_ternary && t.use_rms_norm) norm(name + ".rms_norm", in);
    const bool kept_dense = config.quantization == Quantization::ternary && !is_ternary;
    table.push_back({name + ".weight", {out, in}, kept_dense ? TensorRole::dense : TensorRole::linear});
  };
  const auto input_projection = [&](const std::string& name, int64_t out) {
    linear(name, out, hidden);
    if (config.has_qkv_bias()) table.push_back({name + ".bias", {out}, TensorRole::vector});
  };
  table.push_back({"model.embed_tokens.weight", {t.vocab_size, hidden}, TensorRole::embedding});
  for (int64_t i = 0; i < t.num_hidden_layers; ++i) {
    const std::string layer = cat("model.layers.", i, ".");
    norm(layer + "input_layernorm", hidden);
    input_projection(layer + "self_attn.q_proj", t.query_size());
    input_projection(layer + "self_attn.k_proj", t.key_value_size());
    input_projection(layer + "self_attn.v_proj", t.key_value_size());
    if (config.has_sub_norms()) norm(layer + "self_attn.attn_sub_norm", t.query_size());
    linear(layer + "self_attn.o_proj", hidden, t.query_size());
    norm(layer + "post_attention_layernorm", hidden);
    linear(layer + "mlp.gate_proj", t.intermediate_size, hidden);
    linear(layer + "mlp.up_proj", t.intermediate_size, hidden);
    if (config.has_sub_norms()) norm(layer + "mlp.ffn_sub_norm", t.intermediate_size);
    linear(layer + "mlp.down_proj", hidden, t.intermediate_size);
  }
  norm("model.norm", hidden);
  if (t.ternary_head) {
    linear("lm_head", t.vocab_size, hidden);
  } else if (!t.tie_word_embeddings) {
    table.push_back({"lm_head.weight", {t.vocab_size, hidden}, TensorRole::embedding});
  }
  return table;
}

/// Names of transformers' BertModel, without the pooler, which no vector goes through.
std::vector<TensorSpec> bert_table(const BertConfig& b) {
  const int64_t hidden = b.hidden_size;
  std::vector<TensorSpec> table;
  const auto embedding = [&](const char* name, int64_t rows) {
    table.push_back({cat("embeddings.", name, ".weight"), {rows, hidden}, TensorRole::embedding});
  };
  const auto norm = [&](const std::string& name) {
    table.push_back({name + ".LayerNorm.weight", {hidden}, TensorRole::vector});
    table.push_back({name + ".LayerNorm.bias", {hidden}, TensorRole::vector});
  };
  const auto linear = [&](const std::string& name, int64_t out, int64_t in) {
    table.push_back({name + ".weight", {out, in}, TensorRole::linear});
    table.push_back({name + ".bias", {out}, TensorRole::vector});
  };
  embedding("word_embeddings", b.vocab_size);
  embedding("position_embeddings", b.max_position_embeddings);
  embedding("token_type_embeddings", b.type_vocab_size);
  norm("embeddings");
  for (int64_t i = 0; i < b.num_hidden_layers; ++i) {
    const std::string layer = cat("encoder.layer.", i, ".");
    for (const char* which : {"query", "key", "value"}) {
      linear(layer + "attention.self." + which, hidden, hidden);
    }
    linear(layer + "attention.output.dense", hidden, hidden);
    norm(layer + "attention.output");
    linear(layer + "intermediate.dense", b.intermediate_size, hidden);
    linear(layer + "output.dense", hidden, b.intermediate_size);
    norm(layer + "output");
  }
  return table;
}

}  // namespace

std::string head_name(const TransformerConfig& config) {
  return config.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight";
}

std::vector<TensorSpec> tensor_table(const ModelConfig& config) {
  if (config.is_transformer()) return transformer_table(config);
  if (config.is_encoder()) return bert_table(config.bert);
  if (config.model_type == "mlp") return mlp_table(config.mlp);
  fail("model_type: expected bitnet, llama, qwen2, bert or mlp, found ", config.model_type);
}

int64_t num_parameters(const std::vector<TensorSpec>& table) {
  int64_t total = 0;
  for (const TensorSpec& spec : table) {
    int64_t count = 1;
    for (const int64_t size : spec.shape) count *= size;
    total += count;
  }
  return total;
}

bool is_ternary(const ModelConfig& config, const TensorSpec& spec) {
  return config.quantization == Quantization::ternary && spec.role == TensorRole::linear;
}

std::optional<TensorSpec> ternary_of_bias(const ModelConfig& config, const std::string& name) {
  if (!name.ends_with(".bias")) return std::nullopt;
  const std::string weight = name.substr(0, name.rfind('.')) + ".weight";
  const auto table = tensor_table(config);
  const auto found = std::ranges::find(table, weight, &TensorSpec::name);
  if (found == table.end() || !is_ternary(config, *found)) return std::nullopt;
  return *found;
}

std::string scale_name(const std::string& weight_name) {
  return weight_name + "_scale";
}

}  // namespace rotor
