// softmax(q k^T / sqrt(d)) v over the cache, and the rotation of queries and keys before it.
#include "runtime/backends/cpu/cpu_attention.h"

#include <algorithm>
#include <cmath>

#include "runtime/backends/cpu/cpu_kv_cache.h"
#include "runtime/backends/cpu/memory.h"

namespace rotor::runtime {
namespace {

using kernels::Kernels;

constexpr size_t kRows =
    64;  // of a head that are used for all queries before the next ones; 32 KiB as floats
constexpr int64_t kTokens = 8;  // whose queries share a head's rows

/// A query, and its int16 codes for keys in int8.
struct Query {
  const float* values;
  const int16_t* codes;
  float scale;
};

void score_rows(const kernels::KernelSet& kernels, KvType type, const HeadRows& keys, size_t count,
                size_t width, const Query& query, float* scores) {
  switch (type) {
    case KvType::f32:
      return kernels.matvec_float(reinterpret_cast<const float*>(keys.rows), count, width, query.values,
                                  scores);
    case KvType::f16:
      return kernels.matvec_f16(reinterpret_cast<const uint16_t*>(keys.rows), count, width, query.values,
                                scores);
    case KvType::q8:
      return kernels.matvec_q8(reinterpret_cast<const int8_t*>(keys.rows), keys.scales, nullptr, count, width,
                               query.codes, query.scale, scores);
  }
}

void sum_rows(const kernels::KernelSet& kernels, KvType type, const HeadRows& values, size_t count,
              size_t width, const float* weights, bool add, float* y) {
  switch (type) {
    case KvType::f32:
      return kernels.weighted_sum_float(reinterpret_cast<const float*>(values.rows), count, width, weights,
                                        add, y);
    case KvType::f16:
      return kernels.weighted_sum_f16(reinterpret_cast<const uint16_t*>(values.rows), count, width, weights,
                                      add, y);
    case KvType::q8:
      return kernels.weighted_sum_q8(reinterpret_cast<const int8_t*>(values.rows), values.scales, count,
                                     width, weights, add, y);
  }
}

/// Rows of a head as floats, for reuse by many queries; where they lie if they are floats.
const float* as_floats(const kernels::KernelSet& kernels, KvType type, const HeadRows& head, size_t count,
                       size_t width) {
  if (type == KvType::f32) return reinterpret_cast<const float*>(head.rows);
  float* floats = scratch<float, struct RowsAsFloats>(count * width);
  if (type == KvType::f16) {
    kernels.from_f16(reinterpret_cast<const uint16_t*>(head.rows), count * width, floats);
  } else {
    std::copy_n(reinterpret_cast<const int8_t*>(head.rows), count * width, floats);
  }
  return floats;
}

/// Attention of the rows of a batch that belong to one text. A token alone goes through one query after
/// another; several go through blocks of a head's rows, which are converted once for all their queries. What
/// is computed for a query is the same either way, in the same order.
class TextAttention {
 public:
  /// `first_row` of q is that of the text's first row.
  TextAttention(const Kernels& kernels, const Tensor& q, const KvCache& cache, int64_t layer,
                const TextRows& text, int64_t first_row, const Tensor& y)
      : kernels_(*kernels.operator->()),  // counted once: threads would fight for the counter
        q_(q),
        cache_(cache),
        layer_(layer),
        text_(text),
        first_row_(first_row),
        y_(y),
        width_(static_cast<size_t>(cache.head_dim)),
        group_(q.cols / cache.head_dim / cache.heads),
        softmax_scale_(1.0F / std::sqrt(static_cast<float>(cache.head_dim))) {}

  /// Parts that threads can share out among themselves, and the multiply-adds of the largest one.
  int64_t num_parts() const { return blocks() * cache_.heads * (alone() ? group_ : 1); }
  int64_t work() const {
    const int64_t queries = alone() ? 1 : std::min(kTokens, text_.rows) * group_;
    return 2 * (text_.position + text_.rows) * cache_.head_dim * queries;
  }

  void run(int64_t part) const {
    if (alone()) return run_query(part);
    const int64_t first = part / cache_.heads * kTokens;
    run_block(part % cache_.heads, first, std::min(first + kTokens, text_.rows));
  }

 private:
  bool alone() const { return text_.rows == 1; }
  int64_t blocks() const { return (text_.rows + kTokens - 1) / kTokens; }
  /// Tokens that row t of the text sees.
  size_t rows_of(int64_t t) const { return static_cast<size_t>(text_.position + t + 1); }
  HeadOfText head_of(KvKind kind, int64_t head) const { return {cache_, kind, layer_, head, text_.pages}; }

  Query query(int64_t t, int64_t head) const {
    Query query{row(q_, first_row_ + t) + head * cache_.head_dim, nullptr, 0.0F};
    if (cache_.type != KvType::q8) return query;
    int16_t* codes = scratch<int16_t, struct CodesOfQuery>(width_);
    query.scale = kernels_.quantize_int16(query.values, width_, codes);
    query.codes = codes;
    return query;
  }
  float* output(int64_t t, int64_t head) const { return row(y_, first_row_ + t) + head * cache_.head_dim; }

  void run_query(int64_t head) const {
    const HeadOfText keys = head_of(KvKind::keys, head / group_);
    const HeadOfText values = head_of(KvKind::values, head / group_);
    const size_t count = rows_of(0);
    const size_t chunk = keys.chunk(count);
    const Query q = query(0, head);
    float* scores = scratch<float, struct Scores>(count);
    for (size_t begin = 0; begin < count; begin += chunk) {
      const size_t some = std::min(chunk, count - begin);
      score_rows(kernels_, cache_.type, keys.from(begin), some, width_, q, scores + begin);
    }
    kernels_.softmax(scores, count, softmax_scale_);
    for (size_t begin = 0; begin < count; begin += chunk) {
      const size_t some = std::min(chunk, count - begin);
      sum_rows(kernels_, cache_.type, values.from(begin), some, width_, scores + begin, begin > 0,
               output(0, head));
    }
  }

  /// Tokens first..end - 1 of the text with key/value head `head`.
  void run_block(int64_t head, int64_t first, int64_t end) const {
    const HeadOfText keys = head_of(KvKind::keys, head);
    const HeadOfText values = head_of(KvKind::values, head);
    const size_t stride = rows_of(end - 1);
    const size_t chunk = keys.chunk(kRows);
    float* all_scores =
        scratch<float, struct ScoresOfHead>(static_cast<size_t>((end - first) * group_) * stride);
    // Calls work(token, query head, rows of the chunk at `begin` that it sees, its scores).
    const auto for_queries = [&](size_t begin, const auto& work) {
      float* scores = all_scores;
      for (int64_t t = first; t < end; ++t) {
        for (int64_t j = 0; j < group_; ++j, scores += stride) {
          if (begin < rows_of(t)) work(t, head * group_ + j, std::min(chunk, rows_of(t) - begin), scores);
        }
      }
    };
    for (size_t begin = 0; begin < stride; begin += chunk) {
      const HeadRows rows = keys.from(begin);
      const bool codes = cache_.type == KvType::q8;
      const size_t most = std::min(chunk, stride - begin);
      const float* floats = codes ? nullptr : as_floats(kernels_, cache_.type, rows, most, width_);
      for_queries(begin, [&](int64_t t, int64_t query_head, size_t count, float* scores) {
        const Query q = query(t, query_head);
        if (codes) return score_rows(kernels_, cache_.type, rows, count, width_, q, scores + begin);
        kernels_.matvec_float(floats, count, width_, q.values, scores + begin);
      });
    }
    for_queries(0, [&](int64_t t, int64_t, size_t, float* scores) {
      kernels_.softmax(scores, rows_of(t), softmax_scale_);
    });
    for (size_t begin = 0; begin < stride; begin += chunk) {
      const HeadRows rows = values.from(begin);
      const float* floats = as_floats(kernels_, cache_.type, rows, std::min(chunk, stride - begin), width_);
      for_queries(begin, [&](int64_t t, int64_t query_head, size_t count, float* scores) {
        if (cache_.type == KvType::q8) {
          for (size_t i = 0; i < count; ++i) scores[begin + i] *= rows.scales[i];
        }
        kernels_.weighted_sum_float(floats, count, width_, scores + begin, begin > 0, output(t, query_head));
      });
    }
  }

  const kernels::KernelSet& kernels_;
  const Tensor& q_;
  const KvCache& cache_;
  int64_t layer_;
  const TextRows& text_;
  int64_t first_row_;
  const Tensor& y_;
  size_t width_;
  int64_t group_;  // queries a key/value head
  float softmax_scale_;
};

}  // namespace

void cpu_rope(float* x, int64_t cols, int64_t head_dim, const RopeTable& table, int64_t position) {
  const int64_t pairs = head_dim / 2;
  const float* cos = table.cos.data() + position * pairs;
  const float* sin = table.sin.data() + position * pairs;
  for (float* head = x; head < x + cols; head += head_dim) {
    for (int64_t i = 0; i < pairs; ++i) {
      const float a = head[i];
      const float b = head[i + pairs];
      head[i] = a * cos[i] - b * sin[i];
      head[i + pairs] = b * cos[i] + a * sin[i];
    }
  }
}

void cpu_append_kv(const Kernels& kernels, ThreadPool& pool, const KvCache& cache, int64_t layer,
                   std::span<const TextRows> texts, const RopeTable& rope, const Tensor& q, const Tensor& k,
                   const Tensor& v) {
  pool.parallel_for(k.rows, grain_of(q.cols + 2 * k.cols), [&](int64_t begin, int64_t end) {
    int64_t first = 0;
    for (const TextRows& text : texts) {
      const int64_t last = std::min(end, first + text.rows);
      for (int64_t r = std::max(begin, first); r < last; ++r) {
        const int64_t position = text.position + r - first;
        cpu_rope(row(q, r), q.cols, cache.head_dim, rope, position);
        cpu_rope(row(k, r), k.cols, cache.head_dim, rope, position);
        for (int64_t head = 0; head < cache.heads; ++head) {
          const auto token = static_cast<size_t>(position);
          const int64_t column = head * cache.head_dim;
          HeadOfText(cache, KvKind::keys, layer, head, text.pages).store(kernels, token, row(k, r) + column);
          HeadOfText(cache, KvKind::values, layer, head, text.pages)
              .store(kernels, token, row(v, r) + column);
        }
      }
      first += text.rows;
    }
  });
}

void cpu_attention(const Kernels& kernels, ThreadPool& pool, const Tensor& q, const KvCache& cache,
                   int64_t layer, std::span<const TextRows> texts, const Tensor& y) {
  /// Calls work(attention of a text) for each.
  const auto for_texts = [&](const auto& work) {
    int64_t first_row = 0;
    for (const TextRows& text : texts) {
      work(TextAttention(kernels, q, cache, layer, text, first_row, y));
      first_row += text.rows;
    }
  };
  int64_t parts = 0;
  int64_t largest = 0;
  for_texts([&](const TextAttention& text) {
    parts += text.num_parts();
    largest = std::max(largest, text.work());
  });
  pool.parallel_for(parts, grain_of(largest), [&](int64_t begin, int64_t end) {
    int64_t before = 0;  // parts of the texts so far
    for_texts([&](const TextAttention& text) {
      const int64_t last = std::min(end - before, text.num_parts());
      for (int64_t part = std::max<int64_t>(begin - before, 0); part < last; ++part) text.run(part);
      before += text.num_parts();
    });
  });
}

}  // namespace rotor::runtime
