// A buffer a layer (kernels/kv_cache.h tells what is in it). Long stretches of a text are shared out among
// work groups when there are few tokens.
#include "runtime/backends/gpu/gpu_attention.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "rotor/core/error.h"

namespace rotor::runtime::gpu {
namespace {

constexpr int64_t kSplitTokens = 4;  // of more tokens there are groups enough
constexpr int64_t kStretch = 256;    // tokens of the cache that are worth a group
constexpr int64_t kMostStretches = 32;
constexpr int64_t kWhole = int64_t{1} << 30;  // a stretch as long as any text

struct CacheMemory {
  std::vector<Binding> layers;  // units of keys, then of values
  std::vector<Binding> scales;  // of int8 codes; else empty
};

/// Units of four dimensions a head.
int64_t units_of(const KvCache& cache) {
  return (cache.head_dim + 3) / 4;
}

/// Units of a page's keys, behind which its values lie.
int64_t values_first(const KvCache& cache) {
  return cache.heads * units_of(cache) * cache.page_tokens;
}

/// By how many bits a token's number is shifted to tell its page.
int64_t page_shift(const KvCache& cache) {
  return cache.pages == 1 ? 31 : std::countr_zero(static_cast<uint64_t>(cache.page_tokens));
}

/// For each row its token's number and where the list of its text's pages begins, counted from the first
/// word; then these lists, of lengths that change seldom, as the words' place in a list of commands should.
uint32_t put_texts(Context& context, std::span<const TextRows> texts) {
  constexpr size_t kPaddedWords = size_t{1} << 17;  // half of what there is room for
  size_t rows = 0;
  size_t padded = 0;
  for (const TextRows& text : texts) {
    rows += static_cast<size_t>(text.rows);
    padded += std::bit_ceil(text.pages.size());
  }
  const auto length = [pads = 2 * rows + padded <= kPaddedWords](const TextRows& text) {
    return pads ? std::bit_ceil(text.pages.size()) : text.pages.size();
  };
  std::vector<uint32_t> words;
  words.reserve(2 * rows);
  size_t list = 2 * rows;
  for (const TextRows& text : texts) {
    for (int64_t i = 0; i < text.rows; ++i) {
      words.push_back(static_cast<uint32_t>(text.position + i));
      words.push_back(static_cast<uint32_t>(list));
    }
    list += length(text);
  }
  for (const TextRows& text : texts) {
    words.insert(words.end(), text.pages.begin(), text.pages.end());
    words.resize(words.size() + length(text) - text.pages.size());
  }
  return context.put(words);
}

const CacheMemory& memory(const KvCache& cache) {
  return *static_cast<const CacheMemory*>(cache.storage.get());
}

Binding scales_of(Context& context, const KvCache& cache, int64_t layer) {
  const auto& scales = memory(cache).scales;
  return scales.empty() ? context.nothing() : scales[static_cast<size_t>(layer)];
}

uint32_t group_of(Context& context, const KvCache& cache) {
  return std::max<uint32_t>(context.tuning().attention_group,
                            std::bit_ceil(static_cast<uint32_t>(units_of(cache))));
}

}  // namespace

KvCache gpu_allocate_kv_cache(Context& context, const KvCache& shape) {
  KvCache cache = shape;
  auto memory = std::make_shared<CacheMemory>();
  const int64_t tokens = shape.pages * shape.page_tokens;
  const auto bytes =
      static_cast<uint64_t>(2 * shape.pages * values_first(shape) * 4) * dense_bytes(shape.type);
  const auto scale_bytes = static_cast<uint64_t>(2 * shape.heads * tokens) * sizeof(float);
  if (bytes > context.info().largest_binding || bytes > context.info().largest_buffer) {
    const uint64_t most = std::min(context.info().largest_binding, context.info().largest_buffer);
    fail(context.info().name, ": the cache of a layer for ", tokens, " tokens takes ", bytes,
         " bytes, kernels see at most ", most, ": choose a context of at most ",
         static_cast<uint64_t>(tokens) * most / bytes,
         " tokens or --kv q8, or less memory for rotor serve (--kv-memory)");
  }
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    memory->layers.push_back({context.device().allocate(bytes, false), 0, bytes});
    if (shape.type == KvType::q8) {
      memory->scales.push_back({context.device().allocate(scale_bytes, false), 0, scale_bytes});
    }
  }
  cache.storage = memory;
  return cache;
}

void gpu_append_kv(Context& context, const KvCache& cache, int64_t layer, std::span<const TextRows> texts,
                   const RopeTable& rope, const Tensor& q, const Tensor& k, const Tensor& v) {
  const int64_t query_heads = q.cols / cache.head_dim;
  const Kernel& kernel = context.kernel(
      "append_kv", {{"SUBGROUPS", context.info().subgroup_sums}, {"TYPE", static_cast<uint32_t>(cache.type)}},
      group_of(context, cache), {{"D4", static_cast<uint32_t>(units_of(cache))}});
  const uint32_t slot = put_texts(context, texts);
  context.run(kernel,
              {Context::whole(q), Context::whole(k), Context::whole(v), context.floats(rope.cos),
               context.floats(rope.sin), context.step(), memory(cache).layers[static_cast<size_t>(layer)],
               scales_of(context, cache, layer)},
              {slot, query_heads, cache.heads, cache.head_dim, cache.page_tokens, page_shift(cache),
               values_first(cache)},
              {static_cast<uint64_t>(query_heads + 2 * cache.heads), static_cast<uint64_t>(q.rows), 1});
}

void gpu_attention(Context& context, const Tensor& q, const KvCache& cache, int64_t layer,
                   std::span<const TextRows> texts, const Tensor& y) {
  const int64_t units = units_of(cache);
  const int64_t query_heads = q.cols / cache.head_dim;
  int64_t end = 0;
  for (const TextRows& text : texts) end = std::max(end, text.position + text.rows);
  // By powers of two, so that the same commands serve for many tokens.
  int64_t stretches = 1;
  int64_t stretch = kStretch;
  if (q.rows <= kSplitTokens) {
    while (stretches * stretch < end) (stretches < kMostStretches ? stretches : stretch) *= 2;
  }
  if (stretches == 1) stretch = kWhole;
  const bool split = stretches > 1;
  const Binding parts =
      split ? context.scratch(Scratch::attention,
                              static_cast<uint64_t>(q.rows * query_heads * stretches * (units + 1)) * 16)
            : context.nothing();
  const Kernel& kernel = context.kernel(
      "attention", {{"SUBGROUPS", context.info().subgroup_sums}, {"TYPE", static_cast<uint32_t>(cache.type)}},
      group_of(context, cache), {{"D4", static_cast<uint32_t>(units)}, {"SPLIT", split}});
  const uint32_t slot = put_texts(context, texts);
  const float scale = 1.0F / std::sqrt(static_cast<float>(cache.head_dim));
  const auto heads = static_cast<uint64_t>(query_heads);
  const auto tokens = static_cast<uint64_t>(q.rows);
  context.run(kernel,
              {Context::whole(q), memory(cache).layers[static_cast<size_t>(layer)],
               scales_of(context, cache, layer), context.step(), Context::whole(y), parts},
              {slot, query_heads / cache.heads, cache.heads, cache.head_dim, cache.page_tokens,
               page_shift(cache), values_first(cache), stretch, scale},
              {heads, tokens, static_cast<uint64_t>(stretches)});
  if (!split) return;
  context.run(context.kernel("attention_merge", {}, context.tuning().plain_group,
                             {{"D4", static_cast<uint32_t>(units)}}),
              {parts, Context::whole(y)}, {query_heads, cache.head_dim, stretches}, {heads, tokens, 1});
}

}  // namespace rotor::runtime::gpu
