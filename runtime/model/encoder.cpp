// Block: q, k, v -> attention -> output, added, norm -> intermediate -> GELU -> down, added, norm. Reference:
// transformers, modeling_bert.py; pooling and normalisation: sentence-transformers, Pooling and Normalize.
#include "runtime/model/encoder.h"

#include <algorithm>
#include <cmath>

#include "rotor/core/error.h"
#include "runtime/backends/cpu/memory.h"

namespace rotor::runtime {

Encoder::Encoder(const RotorFile& file) : config_(file.config().bert) {
  if (!file.config().is_encoder()) {
    fail(file.path(), ": expected a sentence encoder (model_type bert), found ", file.config().model_type);
  }
  words_ = file.dense("embeddings.word_embeddings.weight");
  positions_ = file.dense("embeddings.position_embeddings.weight");
  types_ = file.dense("embeddings.token_type_embeddings.weight");
  embedding_norm_ = norm(file, "embeddings");
  for (int64_t i = 0; i < config_.num_hidden_layers; ++i) {
    const std::string prefix = cat("encoder.layer.", i, ".");
    Layer layer;
    layer.query = linear(file, prefix + "attention.self.query");
    layer.key = linear(file, prefix + "attention.self.key");
    layer.value = linear(file, prefix + "attention.self.value");
    layer.output = linear(file, prefix + "attention.output.dense");
    layer.attention_norm = norm(file, prefix + "attention.output");
    layer.intermediate = linear(file, prefix + "intermediate.dense");
    layer.down = linear(file, prefix + "output.dense");
    layer.output_norm = norm(file, prefix + "output");
    layers_.push_back(layer);
  }
}

LinearWeights Encoder::linear(const RotorFile& file, const std::string& name) {
  LinearWeights weights;
  weights.dense = file.dense(name + ".weight");
  weights.rows = weights.dense.rows;
  weights.cols = weights.dense.cols;
  weights.bias = file.floats(name + ".bias");
  return weights;
}

Encoder::LayerNorm Encoder::norm(const RotorFile& file, const std::string& name) {
  return {file.floats(name + ".LayerNorm.weight"), file.floats(name + ".LayerNorm.bias")};
}

Encoder::Workspace Encoder::make_workspace(int64_t tokens) const {
  const int64_t hidden = config_.hidden_size;
  return {cpu_tensor(tokens, hidden), cpu_tensor(tokens, hidden),
          cpu_tensor(tokens, hidden), cpu_tensor(tokens, hidden),
          cpu_tensor(tokens, hidden), cpu_tensor(tokens, config_.intermediate_size)};
}

void Encoder::embed(CpuCompute& compute, const Tensor& hidden, std::span<const int32_t> ids,
                    std::span<const int64_t> lengths) const {
  int64_t t = 0;
  for (const int64_t length : lengths) {
    for (int64_t position = 0; position < length; ++position, ++t) {
      const std::span values(row(hidden, t), static_cast<size_t>(hidden.cols));
      std::ranges::fill(values, 0.0F);
      cpu_add_row(compute.kernels, words_, ids[static_cast<size_t>(t)], values);
      cpu_add_row(compute.kernels, types_, 0, values);
      cpu_add_row(compute.kernels, positions_, position, values);
    }
  }
}

void Encoder::run_layer(CpuCompute& compute, const Workspace& w, const Layer& layer,
                        std::span<const int64_t> lengths) const {
  const auto eps = static_cast<float>(config_.layer_norm_eps);
  const auto project = [&](const Tensor& x, std::initializer_list<Projection> projections) {
    cpu_linear(compute.kernels, compute.pool, x, {}, {projections.begin(), projections.size()});
  };
  project(w.hidden, {{&layer.query, w.query}, {&layer.key, w.key}, {&layer.value, w.value}});
  cpu_full_attention(compute, w.query, w.key, w.value, lengths, config_.num_attention_heads, w.context);
  project(w.context, {{&layer.output, w.hidden, true}});
  cpu_layer_norm(compute, w.hidden, layer.attention_norm.gain, layer.attention_norm.bias, eps);
  project(w.hidden, {{&layer.intermediate, w.intermediate}});
  cpu_gelu(compute, w.intermediate);
  project(w.intermediate, {{&layer.down, w.hidden, true}});
  cpu_layer_norm(compute, w.hidden, layer.output_norm.gain, layer.output_norm.bias, eps);
}

void Encoder::pool(const Tensor& hidden, int64_t first, int64_t length, std::span<float> vector) const {
  std::vector<double> sums(vector.size());
  const int64_t pooled = config_.pooling == Pooling::cls ? 1 : length;
  for (int64_t t = first; t < first + pooled; ++t) {
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += static_cast<double>(row(hidden, t)[i]);
  }
  double squares = 0.0;
  for (double& value : sums) {
    value /= static_cast<double>(pooled);
    squares += value * value;
  }
  constexpr double kLeastLength = 1e-12;  // as torch.nn.functional.normalize
  const double divisor = config_.normalize ? std::max(std::sqrt(squares), kLeastLength) : 1.0;
  std::ranges::transform(sums, vector.begin(), [&](double v) { return static_cast<float>(v / divisor); });
}

void Encoder::forward(CpuCompute& compute, Workspace& workspace, std::span<const int32_t> ids,
                      std::span<const int64_t> lengths, std::span<float> vectors,
                      const Observer& observer) const {
  Workspace w = workspace;
  for (Tensor* tensor : {&w.hidden, &w.query, &w.key, &w.value, &w.context, &w.intermediate}) {
    tensor->rows = std::ssize(ids);
  }
  const auto show = [&](int64_t layer) {
    if (observer) observer(layer, {data(w.hidden), static_cast<size_t>(w.hidden.rows * w.hidden.cols)});
  };
  embed(compute, w.hidden, ids, lengths);
  cpu_layer_norm(compute, w.hidden, embedding_norm_.gain, embedding_norm_.bias,
                 static_cast<float>(config_.layer_norm_eps));
  show(0);
  for (size_t i = 0; i < layers_.size(); ++i) {
    run_layer(compute, w, layers_[i], lengths);
    show(static_cast<int64_t>(i) + 1);
  }
  const auto width = static_cast<size_t>(config_.hidden_size);
  int64_t first = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    pool(w.hidden, first, lengths[i], vectors.subspan(i * width, width));
    first += lengths[i];
  }
}

}  // namespace rotor::runtime
