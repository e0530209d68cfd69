// What a sentence encoder needs beside linear layers, on the CPU: LayerNorm, GELU, attention in which every
// token sees all tokens of its text. Kernel sets and threads do it; results depend on neither, nor on which
// texts are computed together. GPU backends have none of these ops.
#pragma once

#include <cstdint>
#include <span>

#include "rotor/kernels/kernels.h"
#include "runtime/backends/backend.h"
#include "runtime/backends/cpu/cpu_linear.h"
#include "runtime/backends/cpu/thread_pool.h"

namespace rotor::runtime {

/// The processor as encoders use it. Callers in different threads take turns, op by op.
struct CpuCompute {
  /// `threads` as of ThreadPool.
  explicit CpuCompute(int64_t threads, kernels::Kernels set = kernels::choose_kernels())
      : kernels(set), pool(threads) {}

  kernels::Kernels kernels;
  ThreadPool pool;
};

/// Memory for [rows, cols] floats, for these ops and cpu_linear().
Tensor cpu_tensor(int64_t rows, int64_t cols);

/// values [cols] += row `index` of `table`, which has it, as floats.
void cpu_add_row(const kernels::Kernels& kernels, const DenseMatrix& table, int64_t index,
                 std::span<float> values);

/// x = (x - mean(x)) / sqrt(variance(x) + eps) * gain + bias for each row of x [B, cols], with the variance
/// over cols (Ba et al. 2016, arXiv:1607.06450); gain and bias [cols]. Sums are taken in double.
void cpu_layer_norm(CpuCompute& compute, const Tensor& x, std::span<const float> gain,
                    std::span<const float> bias, float eps);

/// x = x/2 * (1 + erf(x / sqrt 2)), element by element (Hendrycks and Gimpel 2016, arXiv:1606.08415), with an
/// error of at most 4e-7 * max(1, |x|).
void cpu_gelu(CpuCompute& compute, const Tensor& x);

/// Attention of q over k and v, all [T, heads * head_dim], within texts of `lengths` tokens, which follow one
/// another and are T together: y = softmax(q k' / sqrt(head_dim)) v for each text and head; y like q.
void cpu_full_attention(CpuCompute& compute, const Tensor& q, const Tensor& k, const Tensor& v,
                        std::span<const int64_t> lengths, int64_t heads, const Tensor& y);

}  // namespace rotor::runtime
