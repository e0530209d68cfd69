// Allocation of the cache, and where in it a token lies.
#include "runtime/backends/cpu/cpu_kv_cache.h"

#include "runtime/backends/cpu/cpu_attention.h"

namespace rotor::runtime {
namespace {

/// Of keys or of values.
size_t rows_of(const KvCache& cache) {
  return static_cast<size_t>(cache.layers * cache.pages * cache.heads * cache.page_tokens);
}

struct CacheMemory {
  explicit CacheMemory(const KvCache& shape) {
    const size_t rows = rows_of(shape);
    // new without a value: pages of a long context cost nothing until they are written.
    bytes.reset(new uint8_t[2 * rows * static_cast<size_t>(shape.head_dim) * dense_bytes(shape.type)]);
    if (shape.type == KvType::q8) scales.reset(new float[2 * rows]);
  }

  std::unique_ptr<uint8_t[]> bytes;
  std::unique_ptr<float[]> scales;
};

}  // namespace

KvCache cpu_allocate_kv_cache(const KvCache& shape) {
  KvCache cache = shape;
  cache.storage = std::make_shared<CacheMemory>(shape);
  return cache;
}

HeadOfText::HeadOfText(const KvCache& cache, KvKind kind, int64_t layer, int64_t head,
                       std::span<const int32_t> pages)
    : type_(cache.type),
      one_page_(cache.pages == 1),
      width_(static_cast<size_t>(cache.head_dim)),
      page_tokens_(static_cast<size_t>(cache.page_tokens)),
      page_rows_(static_cast<size_t>(cache.heads * cache.page_tokens)),
      pages_(pages) {
  const auto& memory = *static_cast<const CacheMemory*>(cache.storage.get());
  const size_t first = (kind == KvKind::keys ? 0 : rows_of(cache)) +
                       static_cast<size_t>(layer * cache.pages) * page_rows_ +
                       static_cast<size_t>(head) * page_tokens_;
  rows_ = memory.bytes.get() + first * width_ * dense_bytes(type_);
  scales_ = memory.scales == nullptr ? nullptr : memory.scales.get() + first;
}

HeadRows HeadOfText::from(size_t token) const {
  const auto page = static_cast<size_t>(one_page_ ? pages_[0] : pages_[token / page_tokens_]);
  const size_t row = page * page_rows_ + (one_page_ ? token : token % page_tokens_);
  return {rows_ + row * width_ * dense_bytes(type_), scales_ == nullptr ? nullptr : scales_ + row};
}

void HeadOfText::store(const kernels::Kernels& kernels, size_t token, const float* values) const {
  const HeadRows place = from(token);
  switch (type_) {
    case KvType::f32:
      std::copy_n(values, width_, reinterpret_cast<float*>(place.rows));
      break;
    case KvType::f16:
      kernels->to_f16(values, width_, reinterpret_cast<uint16_t*>(place.rows));
      break;
    case KvType::q8:
      *place.scales = 1.0F / kernels->quantize_int8(values, width_, reinterpret_cast<int8_t*>(place.rows));
      break;
  }
}

}  // namespace rotor::runtime
