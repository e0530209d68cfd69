// Attention and its cache on the CPU. Keys and values lie as [layer][page][head][token][head_dim], so that
// the tokens of a head in a page are one matrix; int8 caches have a float32 scale a token and head beside it.
#pragma once

#include "rotor/kernels/kernels.h"
#include "runtime/backends/backend.h"
#include "runtime/backends/cpu/thread_pool.h"

namespace rotor::runtime {

/// Rotates each head of a token's row x [cols] in place (core/rope.h).
void cpu_rope(float* x, int64_t cols, int64_t head_dim, const RopeTable& table, int64_t position);

/// Backend::allocate_kv_cache, append_kv and attention. Each row of q is computed by itself, in one order, so
/// results do not depend on batches, pages and threads.
KvCache cpu_allocate_kv_cache(const KvCache& shape);
void cpu_append_kv(const kernels::Kernels& kernels, ThreadPool& pool, const KvCache& cache, int64_t layer,
                   std::span<const TextRows> texts, const RopeTable& rope, const Tensor& q, const Tensor& k,
                   const Tensor& v);
void cpu_attention(const kernels::Kernels& kernels, ThreadPool& pool, const Tensor& q, const KvCache& cache,
                   int64_t layer, std::span<const TextRows> texts, const Tensor& y);

}  // namespace rotor::runtime
