// The KV cache in a GPU's memory, and attention over it.
#pragma once

#include "runtime/backends/backend.h"
#include "runtime/backends/gpu/context.h"

namespace rotor::runtime::gpu {

/// Backend::allocate_kv_cache, append_kv and attention.
KvCache gpu_allocate_kv_cache(Context& context, const KvCache& shape);
void gpu_append_kv(Context& context, const KvCache& cache, int64_t layer, std::span<const TextRows> texts,
                   const RopeTable& rope, const Tensor& q, const Tensor& k, const Tensor& v);
void gpu_attention(Context& context, const Tensor& q, const KvCache& cache, int64_t layer,
                   std::span<const TextRows> texts, const Tensor& y);

}  // namespace rotor::runtime::gpu
