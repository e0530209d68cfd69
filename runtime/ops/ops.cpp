// Shape checks in front of the backends.
#include "runtime/ops/ops.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace rotor::runtime::ops {
namespace {

void require(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "rotor: broken invariant: %s\n", what);
  std::abort();
}

bool same_shape(const Tensor& a, const Tensor& b) {
  return a.rows == b.rows && a.cols == b.cols;
}

void check_linear(const Tensor& x, const InputNorm& norm, std::span<const Projection> projections) {
  require(!projections.empty(), "linear: at least one layer");
  require(norm.gain.empty() || std::cmp_equal(norm.gain.size(), x.cols), "linear: shape of the norm's gain");
  for (const Projection& projection : projections) {
    const LinearWeights& weights = *projection.weights;
    const LinearWeights& first = *projections.front().weights;
    require(x.cols == weights.cols && projection.y.cols == weights.rows && x.rows == projection.y.rows,
            "linear: shapes of x, weights and y");
    require(weights.bias.empty() || std::cmp_equal(weights.bias.size(), weights.rows),
            "linear: shape of bias");
    require(weights.is_ternary() == first.is_ternary() &&
                weights.activation_quantization == first.activation_quantization,
            "linear: layers of one kind");
    require(projection.factor == 1.0F || !weights.is_ternary(), "linear: factors of dense layers alone");
  }
}

void check_rope(int64_t rows, int64_t cols, int64_t head_dim, const RopeTable& table, int64_t position) {
  require(cols % head_dim == 0, "rope: whole heads");
  require(std::cmp_greater_equal(table.cos.size(), (position + rows) * (head_dim / 2)),
          "rope: table too short");
}

}  // namespace

void linear(Backend& backend, const Tensor& x, const InputNorm& norm,
            std::span<const Projection> projections) {
  check_linear(x, norm, projections);
  backend.linear(x, norm, projections);
}

void gated_linear(Backend& backend, const Tensor& gate, const Tensor& up, Activation kind,
                  const InputNorm& norm, std::span<const Projection> projections) {
  require(same_shape(gate, up), "gated_linear: shapes of gate and up");
  require(kind != Activation::gelu, "gated_linear: no gelu");
  check_linear(gate, norm, projections);
  backend.gated_linear(gate, up, kind, norm, projections);
}

void linear(Backend& backend, const Tensor& x, const LinearWeights& weights, const Tensor& y) {
  const Projection projection{&weights, y};
  linear(backend, x, {}, {&projection, 1});
}

int64_t screened_head(Backend& backend, const Tensor& x, const ScreenedHead& head, const WantedLogits& wanted,
                      const Tensor& y) {
  const LinearWeights& weights = *head.weights;
  require(x.rows == 1 && x.cols == weights.cols && y.rows == 1 && y.cols == weights.rows,
          "screened_head: shapes of x, weights and y");
  require(head.screen.planes.rows == weights.rows && head.screen.planes.cols == weights.cols,
          "screened_head: shape of the copy");
  require(wanted.count > 0 && wanted.limit > 0, "screened_head: some logits are wanted");
  return backend.screened_head(x, head, wanted, y);
}

void rms_norm(Backend& backend, const Tensor& x, std::span<const float> gain, float eps, const Tensor& y) {
  require(same_shape(x, y) && std::cmp_equal(gain.size(), x.cols), "rms_norm: shapes of x, gain and y");
  backend.rms_norm(x, gain, eps, y);
}

void activation(Backend& backend, const Tensor& x, Activation kind, float threshold, const Tensor& y) {
  require(same_shape(x, y), "activation: shapes of x and y");
  require(kind != Activation::gelu, "activation: no gelu");
  backend.activation(x, kind, threshold, y);
}

void gate(Backend& backend, const Tensor& gate, const Tensor& up, Activation kind, const Tensor& y) {
  require(same_shape(gate, up) && same_shape(gate, y), "gate: shapes of gate, up and y");
  require(kind != Activation::gelu, "gate: no gelu");
  backend.gate(gate, up, kind, y);
}

void embed(Backend& backend, const DenseMatrix& table, std::span<const int32_t> ids, const Tensor& y) {
  require(std::cmp_equal(ids.size(), y.rows) && table.cols == y.cols, "embed: shapes of ids, table and y");
  const bool in_range =
      std::all_of(ids.begin(), ids.end(), [&](int32_t id) { return id >= 0 && id < table.rows; });
  require(in_range, "embed: ids below the vocabulary's size");
  backend.embed(table, ids, y);
}

void copy_rows(Backend& backend, const Tensor& x, std::span<const int64_t> rows, const Tensor& y) {
  require(x.cols == y.cols && std::cmp_equal(rows.size(), y.rows), "copy_rows: shapes of x, rows and y");
  const bool in_range = std::ranges::all_of(rows, [&](int64_t row) { return row >= 0 && row < x.rows; });
  require(in_range, "copy_rows: rows of x");
  backend.copy_rows(x, rows, y);
}

void rope(Backend& backend, const Tensor& x, int64_t head_dim, const RopeTable& table, int64_t position) {
  check_rope(x.rows, x.cols, head_dim, table, position);
  backend.rope(x, head_dim, table, position);
}

void attention(Backend& backend, const Tensor& q, const Tensor& k, const Tensor& v, const RopeTable& rope,
               const KvCache& cache, int64_t layer, std::span<const TextRows> texts, const Tensor& y) {
  require(same_shape(k, v) && k.cols == cache.heads * cache.head_dim && k.rows == q.rows,
          "attention: shapes of k, v");
  require(same_shape(q, y) && q.cols % k.cols == 0, "attention: shapes of q and y");
  require(layer < cache.layers, "attention: layers of the cache");
  int64_t rows = 0;
  for (const TextRows& text : texts) {
    const int64_t end = text.position + text.rows;
    rows += text.rows;
    require(text.rows > 0 && end <= std::ssize(text.pages) * cache.page_tokens,
            "attention: room in the cache");
    require(std::ranges::all_of(text.pages, [&](int32_t page) { return page >= 0 && page < cache.pages; }),
            "attention: pages of the cache");
    check_rope(text.rows, q.cols, cache.head_dim, rope, text.position);
  }
  require(rows == q.rows, "attention: rows of the texts");
  backend.append_kv(cache, layer, texts, rope, q, k, v);
  backend.attention(q, cache, layer, texts, y);
}

}  // namespace rotor::runtime::ops
