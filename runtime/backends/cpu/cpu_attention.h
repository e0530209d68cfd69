// Attention and its cache on the CPU. Keys and values lie as [layer][head][token][head_dim], so that the
// tokens of a head are one matrix; int8 caches have a float32 scale a token and head beside it.
#pragma once

#include "rotor/kernels/kernels.h"
#include "runtime/backends/backend.h"
#include "runtime/backends/cpu/thread_pool.h"

namespace rotor::runtime {

/// Backend::allocate_kv_cache, append_kv and attention. Each row of q is computed by itself, in one order, so
/// results do not depend on batches and threads.
KvCache cpu_allocate_kv_cache(const KvCache& shape);
void cpu_append_kv(const kernels::Kernels& kernels, ThreadPool& pool, const KvCache& cache, int64_t layer,
                   int64_t position, const Tensor& k, const Tensor& v);
void cpu_attention(const kernels::Kernels& kernels, ThreadPool& pool, const Tensor& q, const KvCache& cache,
                   int64_t layer, int64_t position, const Tensor& y);

}  // namespace rotor::runtime
