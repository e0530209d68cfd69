// Each case computes the same on both backends and compares what comes out.
#include "runtime/backends/backend_check.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <utility>

#include "rotor/core/error.h"
#include "rotor/core/tiles.h"

namespace rotor::runtime {
namespace {

// Relative to the largest value: a dot product of a few hundred float32 products rounds by some 1e-7 of
// it; where an int8 code of an input that was normalised lies at a tie, it may fall to either side, which
// moves an output by a weight times 1/127 of the largest input, and there are few outputs so.
constexpr double kFloat = 4e-6;
constexpr double kFlip = 2e-2;
constexpr double kInt16 = 1e-4;  // the CPU rounds the input of int8 matrices to int16
constexpr double kHalf = 1e-3;   // a value of the cache may round to either of two neighbours

class Values {
 public:
  std::vector<float> normals(int64_t count) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& v : values) v = normal_(random_);
    return values;
  }
  std::vector<int8_t> trits(int64_t count) {
    std::vector<int8_t> values(static_cast<size_t>(count));
    for (int8_t& v : values) v = static_cast<int8_t>(static_cast<int>(random_() % 3) - 1);
    return values;
  }

 private:
  std::mt19937 random_{17};
  std::normal_distribution<float> normal_;
};

/// A ternary or dense layer with its memory.
struct Layer {
  std::vector<uint8_t> bytes;
  std::vector<float> bias, row_scales;
  LinearWeights weights;
};

Layer ternary_layer(Values& values, int64_t rows, int64_t cols, ActivationQuantization quantization,
                    bool bias) {
  Layer layer;
  layer.bytes.resize(tile_bytes(static_cast<size_t>(rows), static_cast<size_t>(cols)));
  pack_tiles(values.trits(rows * cols), static_cast<size_t>(rows), static_cast<size_t>(cols), layer.bytes);
  layer.weights.rows = rows;
  layer.weights.cols = cols;
  layer.weights.ternary = {rows, cols, 0.37F, layer.bytes};
  layer.weights.activation_quantization = quantization;
  layer.weights.ternary_threshold = 0.4F;
  if (bias) layer.bias = values.normals(rows);
  layer.weights.bias = layer.bias;
  return layer;
}

Layer dense_layer(Values& values, int64_t rows, int64_t cols, DenseType type) {
  Layer layer;
  const std::vector<float> numbers = values.normals(rows * cols);
  const auto count = static_cast<size_t>(rows * cols);
  layer.bytes.resize(count * dense_bytes(type));
  if (type == DenseType::f32) {
    std::ranges::copy(numbers, reinterpret_cast<float*>(layer.bytes.data()));
  } else if (type == DenseType::f16) {
    std::ranges::transform(numbers, reinterpret_cast<uint16_t*>(layer.bytes.data()), float_to_f16);
  } else {
    for (int64_t r = 0; r < rows; ++r) {
      const auto first = static_cast<size_t>(r * cols);
      layer.row_scales.push_back(
          quantize_q8(std::span(numbers).subspan(first, static_cast<size_t>(cols)),
                      {reinterpret_cast<int8_t*>(layer.bytes.data()) + first, static_cast<size_t>(cols)}));
    }
  }
  layer.weights.rows = rows;
  layer.weights.cols = cols;
  layer.weights.dense = {rows, cols, type, layer.bytes.data(), layer.row_scales};
  return layer;
}

Tensor uploaded(Backend& backend, const std::vector<float>& values, int64_t rows) {
  const Tensor tensor = backend.allocate(rows, static_cast<int64_t>(values.size()) / rows);
  backend.upload(values, tensor);
  return tensor;
}

void append(Backend& backend, const Tensor& tensor, std::vector<float>& all) {
  std::vector<float> values(static_cast<size_t>(tensor.rows * tensor.cols));
  backend.download(tensor, values);
  all.insert(all.end(), values.begin(), values.end());
}

double largest_difference(const std::vector<float>& found, const std::vector<float>& expected) {
  double largest = 0.0;
  double difference = 0.0;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (found[i] == expected[i]) continue;  // infinities too
    if (!std::isfinite(found[i])) return std::numeric_limits<double>::infinity();
    largest = std::max(largest, static_cast<double>(std::fabs(expected[i])));
    difference =
        std::max(difference, std::fabs(static_cast<double>(found[i]) - static_cast<double>(expected[i])));
  }
  for (const float v : expected) {
    if (std::isfinite(v)) largest = std::max(largest, static_cast<double>(std::fabs(v)));
  }
  return largest > 0.0 ? difference / largest : difference;
}

class Checks {
 public:
  Checks(Backend& backend, Backend& reference) : backend_(backend), reference_(reference) {}

  /// work(backend) gives an op's outputs.
  void add(const std::string& op, double bound, const std::function<std::vector<float>(Backend&)>& work) {
    const double difference = largest_difference(work(backend_), work(reference_));
    results_.push_back({op, difference, bound});
  }
  std::vector<BackendOpCheck> results() && { return std::move(results_); }

 private:
  Backend& backend_;
  Backend& reference_;
  std::vector<BackendOpCheck> results_;
};

void check_linear(Checks& checks, int64_t tokens, int64_t cols, bool fancy) {
  Values values;
  std::vector<Layer> layers;
  for (const int64_t rows : {int64_t{37}, int64_t{64}, int64_t{100}}) {
    layers.push_back(ternary_layer(values, rows, cols, ActivationQuantization::int8_absmax, fancy));
  }
  const std::vector<float> x = values.normals(tokens * cols);
  const std::vector<float> up = values.normals(tokens * cols);
  const std::vector<float> gain = values.normals(cols);
  const auto run = [&](Backend& backend, bool normed, bool gated) {
    std::vector<float> all;
    std::vector<Projection> projections;
    for (const Layer& layer : layers) {
      projections.push_back(
          {&layer.weights,
           uploaded(backend, std::vector<float>(static_cast<size_t>(tokens * layer.weights.rows), 0.25F),
                    tokens),
           fancy});
    }
    const InputNorm norm{normed ? std::span<const float>(gain) : std::span<const float>(), 1e-5F};
    const Tensor input = uploaded(backend, x, tokens);
    if (gated) {
      backend.gated_linear(input, uploaded(backend, up, tokens), Activation::relu2, norm, projections);
    } else {
      backend.linear(input, norm, projections);
    }
    for (const Projection& projection : projections) append(backend, projection.y, all);
    return all;
  };
  const std::string size = cat(", ", tokens, " x ", cols);
  checks.add("linear, int8" + size, kFloat, [&](Backend& b) { return run(b, false, false); });
  checks.add("linear of a norm, int8" + size, kFlip, [&](Backend& b) { return run(b, true, false); });
  checks.add("linear of a gate, int8" + size, kFlip, [&](Backend& b) { return run(b, true, true); });
}

void check_other_linear(Checks& checks, int64_t tokens, int64_t cols) {
  Values values;
  const std::vector<float> x = values.normals(tokens * cols);
  const std::string size = cat(", ", tokens, " x ", cols);
  const auto add = [&](const std::string& op, const Layer& layer, double bound = kFloat) {
    checks.add(op + size, bound, [&](Backend& b) {
      std::vector<float> all;
      const Tensor y = b.allocate(tokens, layer.weights.rows);
      const Projection projection{&layer.weights, y};
      b.linear(uploaded(b, x, tokens), {}, {&projection, 1});
      append(b, y, all);
      return all;
    });
  };
  add("linear, ternary", ternary_layer(values, 45, cols, ActivationQuantization::ternary_threshold, true));
  add("linear, float", ternary_layer(values, 45, cols, ActivationQuantization::none, true));
  for (const DenseType type : {DenseType::f32, DenseType::f16, DenseType::q8}) {
    add(cat("dense, ", name(type)), dense_layer(values, 71, cols, type),
        type == DenseType::q8 ? kInt16 : kFloat);
  }
}

void check_embedding(Checks& checks, DenseType type, int64_t cols) {
  Values values;
  const Layer table = dense_layer(values, 50, cols, type);
  const std::vector<int32_t> ids = {49, 0, 7, 7, 23};
  checks.add(cat("embed, ", name(type), ", ", cols), 0.0, [&](Backend& b) {
    std::vector<float> all;
    const Tensor y = b.allocate(std::ssize(ids), cols);
    b.embed(table.weights.dense, ids, y);
    const Tensor part = b.allocate(4, cols);
    constexpr std::array<int64_t, 4> rows = {3, 4, 0, 3};
    b.copy_rows(y, rows, part);
    append(b, y, all);
    append(b, part, all);
    return all;
  });
}

constexpr int64_t kHeads = 2;
constexpr int64_t kQueryHeads = 6;

/// Attention's output for some rows, or nothing if they are only to be put into the cache.
std::vector<float> attend(Backend& b, const KvCache& cache, const RopeTable& rope,
                          std::span<const TextRows> texts, std::span<const std::vector<float>, 3> inputs,
                          bool look) {
  const int64_t rows = std::ssize(inputs[0]) / kQueryHeads / cache.head_dim;
  const Tensor q = uploaded(b, inputs[0], rows);
  b.append_kv(cache, 1, texts, rope, q, uploaded(b, inputs[1], rows), uploaded(b, inputs[2], rows));
  std::vector<float> values;
  if (!look) return values;
  const Tensor y = b.allocate(rows, q.cols);
  b.attention(q, cache, 1, texts, y);
  append(b, y, values);
  return values;
}

std::array<std::vector<float>, 3> attention_inputs(Values& values, int64_t rows, int64_t head_dim) {
  return {values.normals(rows * kQueryHeads * head_dim), values.normals(rows * kHeads * head_dim),
          values.normals(rows * kHeads * head_dim)};
}

double attention_tolerance(KvType type) {
  return type == KvType::f32 ? kFloat : type == KvType::f16 ? kHalf : kFlip;
}

/// A prompt of 9 tokens at `start`, then tokens one by one; what lies before is put into the cache without
/// being looked at, which would take longer than all else.
void check_attention(Checks& checks, KvType type, int64_t head_dim, int64_t start) {
  Values values;
  const int64_t context = start + 12;
  const RopeTable rope = rope_table(head_dim, 10000.0, context);
  std::vector<std::array<std::vector<float>, 3>> inputs;
  for (const int64_t tokens : {start, int64_t{9}, int64_t{1}, int64_t{1}}) {
    if (tokens > 0) inputs.push_back(attention_inputs(values, tokens, head_dim));
  }
  checks.add(cat("attention, ", name(type), ", ", head_dim, ", at ", start), attention_tolerance(type),
             [&](Backend& b) {
               std::vector<float> all;
               const KvCache cache = b.allocate_kv_cache({.layers = 2,
                                                          .heads = kHeads,
                                                          .page_tokens = context,
                                                          .head_dim = head_dim,
                                                          .type = type,
                                                          .storage = nullptr});
               constexpr std::array<int32_t, 1> kPage = {0};
               TextRows text{0, 0, kPage};
               for (const auto& rows : inputs) {
                 text.rows = std::ssize(rows[0]) / kQueryHeads / head_dim;
                 const auto some = attend(b, cache, rope, {&text, 1}, rows, text.position >= start);
                 all.insert(all.end(), some.begin(), some.end());
                 text.position += text.rows;
               }
               return all;
             });
}

/// Three texts whose pages lie mixed up: prompts of 70, 5 and 33 tokens, of which the first comes in two
/// parts, the second one beside the other texts; then a token of each, and some more of one of them.
void check_paged_attention(Checks& checks, KvType type) {
  Values values;
  constexpr int64_t kHeadDim = 64;
  constexpr int64_t kPageTokens = 32;
  const RopeTable rope = rope_table(kHeadDim, 10000.0, 4 * kPageTokens);
  const std::array<std::vector<int32_t>, 3> pages = {{{5, 0, 3}, {1}, {6, 2}}};
  const std::vector<std::vector<TextRows>> steps = {{{40, 0, pages[0]}},
                                                    {{30, 40, pages[0]}, {5, 0, pages[1]}, {33, 0, pages[2]}},
                                                    {{1, 70, pages[0]}, {1, 5, pages[1]}, {1, 33, pages[2]}},
                                                    {{1, 71, pages[0]}, {3, 6, pages[1]}, {1, 34, pages[2]}}};
  std::vector<std::array<std::vector<float>, 3>> inputs;
  for (const auto& texts : steps) {
    int64_t rows = 0;
    for (const TextRows& text : texts) rows += text.rows;
    inputs.push_back(attention_inputs(values, rows, kHeadDim));
  }
  checks.add(cat("attention, ", name(type), ", pages of three texts"), attention_tolerance(type),
             [&](Backend& b) {
               std::vector<float> all;
               const KvCache cache = b.allocate_kv_cache({.layers = 2,
                                                          .heads = kHeads,
                                                          .pages = 7,
                                                          .page_tokens = kPageTokens,
                                                          .head_dim = kHeadDim,
                                                          .type = type,
                                                          .storage = nullptr});
               for (size_t i = 0; i < steps.size(); ++i) {
                 const auto some = attend(b, cache, rope, steps[i], inputs[i], true);
                 all.insert(all.end(), some.begin(), some.end());
               }
               return all;
             });
}

void check_elements(Checks& checks, int64_t cols) {
  Values values;
  constexpr int64_t kRows = 3;
  const std::vector<float> x = values.normals(kRows * cols);
  const std::vector<float> up = values.normals(kRows * cols);
  const std::vector<float> gain = values.normals(cols);
  checks.add(cat("rms_norm, ", cols), kFloat, [&](Backend& b) {
    std::vector<float> all;
    const Tensor y = uploaded(b, x, kRows);
    b.rms_norm(y, gain, 1e-5F, y);
    append(b, y, all);
    return all;
  });
  for (const auto kind : {Activation::relu, Activation::relu2, Activation::sign, Activation::silu}) {
    checks.add(cat("activation and gate ", static_cast<int>(kind), ", ", cols), kFloat, [&](Backend& b) {
      std::vector<float> all;
      const Tensor y = uploaded(b, x, kRows);
      b.activation(y, kind, 0.5F, y);
      append(b, y, all);
      if (kind == Activation::sign) return all;
      const Tensor gate = uploaded(b, x, kRows);
      b.gate(gate, uploaded(b, up, kRows), kind, gate);
      append(b, gate, all);
      return all;
    });
  }
}

/// The wanted ones of random logits, of equal ones, and of such with a NaN; what is not wanted is left out.
void check_wanted(Checks& checks, int64_t count) {
  Values values;
  std::vector<float> logits = values.normals(20000);
  logits[19000] = 50.0F;  // beyond the limit
  const std::vector<int32_t> ids = {3, 19999, 0};
  checks.add(cat("wanted logits, ", count), 0.0, [&](Backend& b) {
    std::vector<float> found(logits.size());
    b.download_wanted(uploaded(b, logits, 1), {count, ids, 18000}, found);
    std::vector<float> sorted(found.begin(), found.begin() + 18000);
    std::ranges::sort(sorted, std::greater());
    sorted.resize(static_cast<size_t>(count == 0 ? 18000 : count));
    for (const int32_t id : ids) sorted.push_back(found[static_cast<size_t>(id)]);
    std::vector<float> equal(logits.size(), 2.5F);
    b.download_wanted(uploaded(b, equal, 1), {count, {}, 20000}, found);
    sorted.push_back(found[0]);  // of equal ones the lower ids come first
    equal[777] = std::numeric_limits<float>::quiet_NaN();
    b.download_wanted(uploaded(b, equal, 1), {count, {}, 20000}, found);
    sorted.push_back(std::isnan(found[777]) ? 1.0F : 0.0F);
    return sorted;
  });
}

}  // namespace

std::vector<BackendOpCheck> check_backend(Backend& backend, Backend& reference, CheckDepth depth) {
  Checks checks(backend, reference);
  if (depth == CheckDepth::quick) {
    check_linear(checks, 1, 200, false);
    check_attention(checks, KvType::f16, 40, 0);
    return std::move(checks).results();
  }
  for (const int64_t tokens : {1, 2, 5, 40}) {
    check_linear(checks, tokens, 200, true);
    check_linear(checks, tokens, 512, false);
  }
  for (const int64_t tokens : {1, 7}) {
    for (const int64_t cols : {61, 256}) check_other_linear(checks, tokens, cols);
  }
  for (const DenseType type : {DenseType::f32, DenseType::f16, DenseType::q8}) {
    check_embedding(checks, type, 33);
    check_embedding(checks, type, 64);
    for (const int64_t start : {0, 300, 700}) {
      check_attention(checks, type, 40, start);
      check_attention(checks, type, 128, start);
    }
    check_attention(checks, type, 6, 10);
    check_paged_attention(checks, type);
  }
  for (const int64_t cols : {61, 1000}) check_elements(checks, cols);
  for (const int64_t count : {0, 1, 40, 300}) check_wanted(checks, count);
  return std::move(checks).results();
}

}  // namespace rotor::runtime
