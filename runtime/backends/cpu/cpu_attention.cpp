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
      kernels->to_f16(values, count, reinterpret_cast<uint16_t*>(head.rows) + index * count);
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
    case KvType::q8: {
      int16_t* codes = scratch<int16_t, struct CodesOfQuery>(width);
      const float q_scale = kernels->quantize_int16(q, width, codes);
      return kernels->matvec_q8(reinterpret_cast<const int8_t*>(keys.rows), keys.scales, nullptr, count,
                                width, codes, q_scale, scores);
    }
  }
}

void sum_rows(const Kernels& kernels, KvType type, const HeadRows& values, size_t count, size_t width,
              const float* weights, float* y) {
  constexpr bool kFromZero = false;
  switch (type) {
    case KvType::f32:
      return kernels->weighted_sum_float(reinterpret_cast<const float*>(values.rows), count, width, weights,
                                         kFromZero, y);
    case KvType::f16:
      return kernels->weighted_sum_f16(reinterpret_cast<const uint16_t*>(values.rows), count, width, weights,
                                       kFromZero, y);
    case KvType::q8:
      return kernels->weighted_sum_q8(reinterpret_cast<const int8_t*>(values.rows), values.scales, count,
                                      width, weights, kFromZero, y);
  }
}

/// Keys or values first.. of a head as floats, for reuse by many queries; where they lie if they are floats.
const float* as_floats(const Kernels& kernels, KvType type, const HeadRows& head, size_t first, size_t count,
                       size_t width) {
  const size_t begin = first * width;
  if (type == KvType::f32) return reinterpret_cast<const float*>(head.rows) + begin;
  float* floats = scratch<float, struct RowsAsFloats>(count * width);
  if (type == KvType::f16) {
    kernels->from_f16(reinterpret_cast<const uint16_t*>(head.rows) + begin, count * width, floats);
  } else {
    std::copy_n(reinterpret_cast<const int8_t*>(head.rows) + begin, count * width, floats);
  }
  return floats;
}

/// Attention of some tokens over one key/value head, by blocks of its rows that are converted once for all
/// queries. What it computes for a query is what cpu_attention computes for a token alone, in the same order.
class HeadAttention {
 public:
  HeadAttention(const Kernels& kernels, const Tensor& q, const KvCache& cache, int64_t layer,
                int64_t position, const Tensor& y)
      : kernels_(kernels),
        set_(*kernels.operator->()),
        q_(q),
        cache_(cache),
        layer_(layer),
        position_(position),
        y_(y),
        width_(static_cast<size_t>(cache.head_dim)),
        group_(q.cols / cache.head_dim / cache.heads) {}

  /// Tokens first..end - 1 of q with key/value head `head`.
  void run(int64_t head, int64_t first, int64_t end) {
    stride_ = rows_of(end - 1);
    scores_ = scratch<float, struct ScoresOfHead>(static_cast<size_t>((end - first) * group_) * stride_);
    const HeadRows keys = memory(cache_).head(0, layer_, head);
    const HeadRows values = memory(cache_).head(1, layer_, head);
    for (size_t begin = 0; begin < stride_; begin += kRows) {
      const float* rows = cache_.type == KvType::q8 ? nullptr : block(keys, begin);
      for_queries(head, first, end, begin, [&](int64_t t, int64_t column, size_t count, float* scores) {
        const float* query = row(q_, t) + column;
        if (rows != nullptr) {
          set_.matvec_float(rows, count, width_, query, scores + begin);
        } else {
          score_rows(kernels_, cache_.type, {keys.rows + begin * width_, keys.scales + begin}, count, width_,
                     query, scores + begin);
        }
      });
    }
    const float scale = 1.0F / std::sqrt(static_cast<float>(cache_.head_dim));
    for_queries(head, first, end, 0, [&](int64_t t, int64_t, size_t, float* scores) {
      const size_t count = rows_of(t);
      set_.softmax(scores, count, scale);
      if (cache_.type != KvType::q8) return;
      for (size_t i = 0; i < count; ++i) scores[i] *= values.scales[i];
    });
    for (size_t begin = 0; begin < stride_; begin += kRows) {
      const float* rows = block(values, begin);
      for_queries(head, first, end, begin, [&](int64_t t, int64_t column, size_t count, float* scores) {
        set_.weighted_sum_float(rows, count, width_, scores + begin, begin > 0, row(y_, t) + column);
      });
    }
  }

 private:
  static constexpr size_t kRows = 64;  // of 128 floats each: 32 KiB

  size_t rows_of(int64_t t) const { return static_cast<size_t>(position_ + t + 1); }
  const float* block(const HeadRows& head, size_t begin) const {
    return as_floats(kernels_, cache_.type, head, begin, std::min(kRows, stride_ - begin), width_);
  }

  /// Calls work(token, first column of the query, rows of this block that it sees, its scores).
  template <class Work>
  void for_queries(int64_t head, int64_t first, int64_t end, size_t begin, const Work& work) {
    float* scores = scores_;
    for (int64_t t = first; t < end; ++t) {
      for (int64_t j = 0; j < group_; ++j, scores += stride_) {
        if (begin >= rows_of(t)) continue;
        work(t, (head * group_ + j) * cache_.head_dim, std::min(kRows, rows_of(t) - begin), scores);
      }
    }
  }

  const Kernels& kernels_;
  const kernels::KernelSet& set_;  // counted once: threads would fight for the counter
  const Tensor& q_;
  const KvCache& cache_;
  int64_t layer_;
  int64_t position_;
  const Tensor& y_;
  size_t width_;
  int64_t group_;  // queries a key/value head
  size_t stride_ = 0;
  float* scores_ = nullptr;  // [query, row]
};

}  // namespace

KvCache cpu_allocate_kv_cache(const KvCache& shape) {
  KvCache cache = shape;
  cache.storage = std::make_shared<CacheMemory>(shape);
  return cache;
}

void cpu_append_kv(const Kernels& kernels, ThreadPool& pool, const KvCache& cache, int64_t layer,
                   int64_t position, const Tensor& k, const Tensor& v) {
  const auto width = static_cast<size_t>(cache.head_dim);
  pool.parallel_for(k.rows, grain_of(2 * k.cols), [&](int64_t begin, int64_t end) {
    for (size_t kind = 0; kind < 2; ++kind) {
      const Tensor& x = kind == 0 ? k : v;
      for (int64_t head = 0; head < cache.heads; ++head) {
        const HeadRows rows = memory(cache).head(kind, layer, head);
        for (int64_t t = begin; t < end; ++t) {
          store_row(kernels, cache.type, rows, static_cast<size_t>(position + t),
                    row(x, t) + head * cache.head_dim, width);
        }
      }
    }
  });
}

void cpu_attention(const Kernels& kernels, ThreadPool& pool, const Tensor& q, const KvCache& cache,
                   int64_t layer, int64_t position, const Tensor& y) {
  if (q.rows > 1) {
    constexpr int64_t kTokens = 8;  // a head's rows are read once for so many
    const int64_t blocks = (q.rows + kTokens - 1) / kTokens;
    const int64_t queries = kTokens * q.cols / cache.head_dim / cache.heads;
    const int64_t grain = grain_of(2 * (position + q.rows) * cache.head_dim * queries);
    return pool.parallel_for(blocks * cache.heads, grain, [&](int64_t begin, int64_t end) {
      HeadAttention attention(kernels, q, cache, layer, position, y);
      for (int64_t i = begin; i < end; ++i) {
        const int64_t first = i / cache.heads * kTokens;
        attention.run(i % cache.heads, first, std::min(first + kTokens, q.rows));
      }
    });
  }
  const auto width = static_cast<size_t>(cache.head_dim);
  const auto count = static_cast<size_t>(position + 1);
  const int64_t query_heads = q.cols / cache.head_dim;
  const int64_t group = query_heads / cache.heads;
  const float scale = 1.0F / std::sqrt(static_cast<float>(cache.head_dim));
  const int64_t grain = grain_of(2 * (position + 1) * cache.head_dim);
  pool.parallel_for(query_heads, grain, [&](int64_t begin, int64_t end) {
    float* scores = scratch<float, struct Scores>(count);
    for (int64_t head = begin; head < end; ++head) {
      const HeadRows keys = memory(cache).head(0, layer, head / group);
      const HeadRows values = memory(cache).head(1, layer, head / group);
      score_rows(kernels, cache.type, keys, count, width, data(q) + head * cache.head_dim, scores);
      kernels->softmax(scores, count, scale);
      sum_rows(kernels, cache.type, values, count, width, scores, data(y) + head * cache.head_dim);
    }
  });
}

}  // namespace rotor::runtime
