// LayerNorm and GELU are loops that compilers vectorize; attention is made of the kernels of a KV cache.
#include "runtime/backends/cpu/cpu_encoder_ops.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include "rotor/core/clones.h"
#include "runtime/backends/cpu/memory.h"

namespace rotor::runtime {
namespace {

constexpr size_t kLanes = 16;  // partial sums, so that every machine adds in one order

double fold(const std::array<double, kLanes>& sums) {
  std::array<double, kLanes> left = sums;
  for (size_t width = kLanes / 2; width > 0; width /= 2) {
    for (size_t i = 0; i < width; ++i) left[i] += left[i + width];
  }
  return left[0];
}

ROTOR_CLONES void layer_norm_row(float* x, size_t count, const float* gain, const float* bias, float eps) {
  const size_t whole = count / kLanes * kLanes;
  std::array<double, kLanes> sums{};
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) sums[lane] += static_cast<double>(x[i + lane]);
  }
  for (size_t i = whole; i < count; ++i) sums[i - whole] += static_cast<double>(x[i]);
  const double mean = fold(sums) / static_cast<double>(count);
  std::array<double, kLanes> squares{};
  for (size_t i = 0; i < whole; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      const double off = static_cast<double>(x[i + lane]) - mean;
      squares[lane] += off * off;
    }
  }
  for (size_t i = whole; i < count; ++i) {
    const double off = static_cast<double>(x[i]) - mean;
    squares[i - whole] += off * off;
  }
  const double variance = fold(squares) / static_cast<double>(count);
  const auto center = static_cast<float>(mean);
  const auto factor = static_cast<float>(1.0 / std::sqrt(variance + static_cast<double>(eps)));
  for (size_t i = 0; i < count; ++i) x[i] = (x[i] - center) * factor * gain[i] + bias[i];
}

/// erf(z) / z for |z| <= 4 as a polynomial in z^2 / 8 - 1, fitted to the least error of erf: 1e-7; beyond,
/// erf is 1 to a float32.
constexpr std::array kErf = {0.353530986F,   -0.176576292F,   0.131676486F,   -0.10770831F,
                             0.0901783240F,  -0.0747481630F,  0.0601460107F,  -0.0456966140F,
                             0.0319980078F,  -0.0225099989F,  0.0166785909F,  -0.00888374467F,
                             0.00210235514F, -0.00194022039F, 0.00287868862F, -0.00112611711F};

ROTOR_CLONES void gelu_values(float* x, size_t count) {
  constexpr float kLimit = 4.0F;
  constexpr float kInverseSqrt2 = 0.707106781F;
  for (size_t i = 0; i < count; ++i) {
    float z = x[i] * kInverseSqrt2;
    z = z > kLimit ? kLimit : z;
    z = z < -kLimit ? -kLimit : z;
    const float t = z * z * 0.125F - 1.0F;
    float p = kErf.back();
    for (size_t k = kErf.size() - 1; k-- > 0;) p = p * t + kErf[k];
    x[i] = 0.5F * x[i] * (1.0F + z * p);
  }
}

/// Rows `first` on of one head, side by side.
void take_head(const Tensor& x, int64_t first, int64_t count, int64_t head_dim, int64_t head, float* out) {
  for (int64_t t = 0; t < count; ++t) {
    std::copy_n(row(x, first + t) + head * head_dim, head_dim, out + t * head_dim);
  }
}

}  // namespace

Tensor cpu_tensor(int64_t rows, int64_t cols) {
  const auto count = static_cast<size_t>(std::max<int64_t>(1, rows * cols));
  return {rows, cols, std::shared_ptr<float[]>(new float[count])};
}

void cpu_add_row(const kernels::Kernels& kernels, const DenseMatrix& table, int64_t index,
                 std::span<float> values) {
  const size_t cols = values.size();
  const uint8_t* data = table.data + static_cast<size_t>(index) * cols * dense_bytes(table.type);
  float* floats = scratch<float, struct EmbeddingRow>(cols);
  switch (table.type) {
    case DenseType::f32:
      std::copy_n(reinterpret_cast<const float*>(data), cols, floats);
      break;
    case DenseType::f16:
      kernels->from_f16(reinterpret_cast<const uint16_t*>(data), cols, floats);
      break;
    case DenseType::q8: {
      const float scale = table.row_scales[static_cast<size_t>(index)];
      std::transform(data, data + cols, floats,
                     [scale](uint8_t code) { return static_cast<float>(static_cast<int8_t>(code)) * scale; });
      break;
    }
  }
  for (size_t i = 0; i < cols; ++i) values[i] += floats[i];
}

void cpu_layer_norm(CpuCompute& compute, const Tensor& x, std::span<const float> gain,
                    std::span<const float> bias, float eps) {
  compute.pool.parallel_for(x.rows, grain_of(x.cols), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      layer_norm_row(row(x, r), static_cast<size_t>(x.cols), gain.data(), bias.data(), eps);
    }
  });
}

void cpu_gelu(CpuCompute& compute, const Tensor& x) {
  compute.pool.parallel_for(x.rows, grain_of(x.cols), [&](int64_t begin, int64_t end) {
    gelu_values(row(x, begin), static_cast<size_t>((end - begin) * x.cols));
  });
}

void cpu_full_attention(CpuCompute& compute, const Tensor& q, const Tensor& k, const Tensor& v,
                        std::span<const int64_t> lengths, int64_t heads, const Tensor& y) {
  std::vector<int64_t> firsts(lengths.size());
  std::exclusive_scan(lengths.begin(), lengths.end(), firsts.begin(), int64_t{0});
  const int64_t head_dim = q.cols / heads;
  const float scale = 1.0F / std::sqrt(static_cast<float>(head_dim));
  const auto one_head = [&](size_t text, int64_t head) {
    const int64_t first = firsts[text];
    const auto length = static_cast<size_t>(lengths[text]);
    const auto dim = static_cast<size_t>(head_dim);
    float* keys = scratch<float, struct HeadKeys>(length * dim);
    float* values = scratch<float, struct HeadValues>(length * dim);
    float* scores = scratch<float, struct HeadScores>(length);
    take_head(k, first, lengths[text], head_dim, head, keys);
    take_head(v, first, lengths[text], head_dim, head, values);
    for (int64_t t = first; t < first + lengths[text]; ++t) {
      compute.kernels->matvec_float(keys, length, dim, row(q, t) + head * head_dim, scores);
      compute.kernels->softmax(scores, length, scale);
      compute.kernels->weighted_sum_float(values, length, dim, scores, false, row(y, t) + head * head_dim);
    }
  };
  compute.pool.parallel_for(std::ssize(lengths) * heads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) one_head(static_cast<size_t>(item / heads), item % heads);
  });
}

}  // namespace rotor::runtime
