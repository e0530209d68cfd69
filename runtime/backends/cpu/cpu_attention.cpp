// The cache's layout, and softmax(q k^T / sqrt(d)) v over it.
#include "runtime/backends/cpu/cpu_attention.h"

#include <algorithm>
#include <cmath>
#include <new>

#include "runtime/backends/cpu/memory.h"

namespace rotor::runtime {
namespace {

using kernels::Kernels;

/// Keys or values of one head: a matrix [capacity, head_dim], and a scale a row if it is int8.
struct HeadRows {
  uint8_t* rows;
  float* scales;
};

struct CacheMemory {
  explicit CacheMemory(const KvCache& shape) : cache(shape) {
    const auto tokens = static_cast<size_t>(shape.layers * shape.heads * shape.capacity);
    half_bytes = tokens * static_cast<size_t>(shape.head_dim) * dense_bytes(shape.type);
    // new without a value: pages of a long context cost nothing until they are written.
    bytes.reset(new uint8_t[2 * half_bytes]);
    if (shape.type == KvType::q8) scales.reset(new float[2 * tokens]);
  }

  /// kind: 0 keys, 1 values.
  HeadRows head(size_t kind, int64_t layer, int64_t head) const {
    const auto first = static_cast<size_t>((layer * cache.heads + head) * cache.capacity);
    const auto tokens = static_cast<size_t>(cache.layers * cache.heads * cache.capacity);
    return {bytes.get() + kind * half_bytes +
                first * static_cast<size_t>(cache.head_dim) * dense_bytes(cache.type),
            scales == nullptr ? nullptr : scales.get() + kind * tokens + first};
  }

  KvCache cache;
  size_t half_bytes = 0;
  std::unique_ptr<uint8_t[]> bytes;
  std::unique_ptr<float[]> scales;
};

const CacheMemory& memory(const KvCache& cache) {
  return *static_cast<const CacheMemory*>(cache.storage.get());
}

void store_row(const Kernels& kernels, KvType type, const HeadRows& head, size_t index, const float* values,
               size_t count) {
  switch (type) {
    case KvType::f32:
      std::copy_n(values, count, reinterpret_cast<float*>(head.rows) + index * count);
      break;
    case KvType::f16:
      std::transform(values, values + count, reinterpret_cast<uint16_t*>(head.rows) + index * count,
                     float_to_f16);
      break;
    case KvType::q8:
      head.scales[index] =
          1.0F / kernels->quantize_int8(values, count, reinterpret_cast<int8_t*>(head.rows) + index * count);
      break;
  }
}

void score_rows(const Kernels& kernels, KvType type, const HeadRows& keys, size_t count, size_t width,
                const float* q, float* scores) {
  switch (type) {
    case KvType::f32:
      return kernels->matvec_float(reinterpret_cast<const float*>(keys.rows), count, width, q, scores);
    case KvType::f16:
      return kernels->matvec_f16(reinterpret_cast<const uint16_t*>(keys.rows), count, width, q, scores);
    case KvType::q8:
      return kernels->matvec_q8(reinterpret_cast<const int8_t*>(keys.rows), keys.scales, count, width, q,
                                scores);
  }
}

void sum_rows(const Kernels& kernels, KvType type, const HeadRows& values, size_t count, size_t width,
              const float* weights, float* y) {
  switch (type) {
    case KvType::f32:
      return kernels->weighted_sum_float(reinterpret_cast<const float*>(values.rows), count, width, weights,
                                         y);
    case KvType::f16:
      return kernels->weighted_sum_f16(reinterpret_cast<const uint16_t*>(values.rows), count, width, weights,
                                       y);
    case KvType::q8:
      return kernels->weighted_sum_q8(reinterpret_cast<const int8_t*>(values.rows), values.scales, count,
                                      width, weights, y);
  }
}

/// Scores to weights that sum to 1.
void softmax(float* scores, size_t count, float scale) {
  float largest = -INFINITY;
  for (size_t i = 0; i < count; ++i) {
    scores[i] *= scale;
    largest = std::max(largest, scores[i]);
  }
  double sum = 0.0;
  for (size_t i = 0; i < count; ++i) {
    scores[i] = std::exp(scores[i] - largest);
    sum += static_cast<double>(scores[i]);
  }
  const auto inverse = static_cast<float>(1.0 / sum);
  for (size_t i = 0; i < count; ++i) scores[i] *= inverse;
}

}  // namespace

KvCache cpu_allocate_kv_cache(const KvCache& shape) {
  KvCache cache = shape;
  cache.storage = std::make_shared<CacheMemory>(shape);
  return cache;
}

void cpu_append_kv(const Kernels& kernels, const KvCache& cache, int64_t layer, int64_t position,
                   const Tensor& k, const Tensor& v) {
  const auto width = static_cast<size_t>(cache.head_dim);
  for (size_t kind = 0; kind < 2; ++kind) {
    const Tensor& x = kind == 0 ? k : v;
    for (int64_t head = 0; head < cache.heads; ++head) {
      const HeadRows rows = memory(cache).head(kind, layer, head);
      for (int64_t t = 0; t < x.rows; ++t) {
        store_row(kernels, cache.type, rows, static_cast<size_t>(position + t),
                  row(x, t) + head * cache.head_dim, width);
      }
    }
  }
}

void cpu_attention(const Kernels& kernels, ThreadPool& pool, const Tensor& q, const KvCache& cache,
                   int64_t layer, int64_t position, const Tensor& y) {
  const auto width = static_cast<size_t>(cache.head_dim);
  const int64_t query_heads = q.cols / cache.head_dim;
  const int64_t group = query_heads / cache.heads;
  const float scale = 1.0F / std::sqrt(static_cast<float>(cache.head_dim));
  const int64_t grain = grain_of(2 * (position + q.rows) * cache.head_dim);
  pool.parallel_for(q.rows * query_heads, grain, [&](int64_t begin, int64_t end) {
    float* scores = scratch<float, struct Scores>(static_cast<size_t>(position + q.rows));
    for (int64_t i = begin; i < end; ++i) {
      const int64_t t = i / query_heads;
      const int64_t head = i % query_heads;
      const auto count = static_cast<size_t>(position + t + 1);
      score_rows(kernels, cache.type, memory(cache).head(0, layer, head / group), count, width,
                 row(q, t) + head * cache.head_dim, scores);
      softmax(scores, count, scale);
      sum_rows(kernels, cache.type, memory(cache).head(1, layer, head / group), count, width, scores,
               row(y, t) + head * cache.head_dim);
    }
  });
}

}  // namespace rotor::runtime
