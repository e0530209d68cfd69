// Ops on the CPU. Scratch memory is kept per thread, so that a running model allocates nothing.
#include "runtime/backends/cpu/cpu_backend.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "rotor/core/planes.h"
#include "rotor/core/tiles.h"
#include "rotor/kernels/kernels.h"

namespace rotor::runtime {
namespace {

float* data(const Tensor& tensor) {
  return static_cast<float*>(tensor.storage.get());
}

/// At least `size` elements of scratch memory that this thread keeps; their contents are unspecified.
template <class T, int kUse>
T* scratch(size_t size) {
  thread_local std::vector<T> memory;
  if (memory.size() < size) memory.resize(size);
  return memory.data();
}

class CpuBackend final : public Backend {
 public:
  CpuBackend() : kernels_(kernels::choose_kernels()) {}

  std::string name() const override { return "cpu"; }
  std::string kernels() const override { return kernels_.name(); }

  Tensor allocate(int64_t rows, int64_t cols) override {
    const auto count = static_cast<size_t>(rows * cols);
    return {rows, cols,
            std::shared_ptr<void>(new float[count](), [](void* p) { delete[] static_cast<float*>(p); })};
  }
  void upload(std::span<const float> values, const Tensor& tensor) override {
    std::copy(values.begin(), values.end(), data(tensor));
  }
  void download(const Tensor& tensor, std::span<float> values) override {
    std::copy_n(data(tensor), values.size(), values.data());
  }

  void linear(const Tensor& x, const LinearWeights& weights, const Tensor& y) override {
    switch (weights.activation_quantization) {
      case ActivationQuantization::none:
        return linear_float(x, weights, y);
      case ActivationQuantization::int8_absmax:
        return linear_int8(x, weights, y);
      case ActivationQuantization::ternary_threshold:
        return linear_ternary(x, weights, y);
    }
  }

  void rms_norm(const Tensor& x, std::span<const float> gain, float eps, const Tensor& y) override {
    const auto cols = static_cast<size_t>(x.cols);
    for (int64_t row = 0; row < x.rows; ++row) {
      const float* in = data(x) + row * x.cols;
      float* out = data(y) + row * x.cols;
      double sum = 0.0;
      for (size_t i = 0; i < cols; ++i) sum += static_cast<double>(in[i]) * static_cast<double>(in[i]);
      const auto mean = static_cast<float>(sum / static_cast<double>(cols));
      const float inverse = 1.0F / std::sqrt(mean + eps);
      for (size_t i = 0; i < cols; ++i) out[i] = in[i] * inverse * gain[i];
    }
  }

  void activation(const Tensor& x, Activation kind, float threshold, const Tensor& y) override {
    const std::span<const float> in(data(x), static_cast<size_t>(x.rows * x.cols));
    switch (kind) {
      case Activation::relu:
        std::transform(in.begin(), in.end(), data(y), [](float v) { return std::max(v, 0.0F); });
        break;
      case Activation::relu2:
        std::transform(in.begin(), in.end(), data(y),
                       [](float v) { return std::max(v, 0.0F) * std::max(v, 0.0F); });
        break;
      case Activation::sign:
        std::transform(in.begin(), in.end(), data(y),
                       [=](float v) { return static_cast<float>((v > threshold) - (v < -threshold)); });
        break;
    }
  }

 private:
  /// sums [rows padded to whole tiles] to one row of y; `scale(sum)` gives the float.
  template <class Scale>
  static void finish_row(const int32_t* sums, const LinearWeights& weights, const Tensor& y, int64_t row,
                         Scale scale) {
    float* out = data(y) + row * y.cols;
    for (int64_t r = 0; r < weights.rows; ++r) {
      const auto i = static_cast<size_t>(r);
      out[i] = scale(static_cast<float>(sums[i]));
      if (!weights.bias.empty()) out[i] += weights.bias[i];
    }
  }

  void linear_float(const Tensor& x, const LinearWeights& weights, const Tensor& y) {
    for (int64_t row = 0; row < x.rows; ++row) {
      float* out = data(y) + row * y.cols;
      kernels_->matvec_float(weights.dense.data(), static_cast<size_t>(weights.rows),
                             static_cast<size_t>(weights.cols), data(x) + row * x.cols, out);
      for (size_t i = 0; i < weights.bias.size(); ++i) out[i] += weights.bias[i];
    }
  }

  void linear_int8(const Tensor& x, const LinearWeights& weights, const Tensor& y) {
    const auto cols = static_cast<size_t>(x.cols);
    const auto batch = static_cast<size_t>(x.rows);
    const size_t col_tiles = column_tiles(cols);
    const size_t padded_cols = col_tiles * kTileColumns;
    const size_t tile_rows = row_tiles(static_cast<size_t>(weights.rows));
    int8_t* codes = scratch<int8_t, 0>(batch * padded_cols);
    float* scales = scratch<float, 1>(batch);
    int32_t* sums = scratch<int32_t, 2>(batch * tile_rows * kTileRows);
    for (size_t b = 0; b < batch; ++b) {
      scales[b] = kernels_->quantize_int8(data(x) + b * cols, cols, codes + b * padded_cols);
      std::fill(codes + b * padded_cols + cols, codes + (b + 1) * padded_cols, int8_t{0});
    }
    const uint8_t* tiles = weights.ternary.tiles.data();
    if (batch == 1) {
      kernels_->matvec_int8(tiles, tile_rows, col_tiles, codes, sums);
    } else {
      kernels_->matmul_int8(tiles, tile_rows, col_tiles, codes, batch, sums);
    }
    for (size_t b = 0; b < batch; ++b) {
      const float x_scale = scales[b];
      finish_row(sums + b * tile_rows * kTileRows, weights, y, static_cast<int64_t>(b),
                 [&](float sum) { return sum / x_scale * weights.ternary.scale; });
    }
  }

  void linear_ternary(const Tensor& x, const LinearWeights& weights, const Tensor& y) {
    const auto cols = static_cast<size_t>(x.cols);
    const size_t words = plane_words(cols);
    const size_t tile_rows = row_tiles(static_cast<size_t>(weights.rows));
    uint32_t* plus = scratch<uint32_t, 3>(2 * words);
    uint32_t* minus = plus + words;
    int32_t* sums = scratch<int32_t, 2>(tile_rows * kTileRows);
    for (int64_t row = 0; row < x.rows; ++row) {
      kernels_->ternarize(data(x) + row * x.cols, cols, weights.ternary_threshold, plus, minus);
      kernels_->matvec_ternary(weights.ternary.tiles.data(), tile_rows, words, plus, minus, sums);
      finish_row(sums, weights, y, row, [&](float sum) { return sum * weights.ternary.scale; });
    }
  }

  kernels::Kernels kernels_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend() {
  return std::make_unique<CpuBackend>();
}

}  // namespace rotor::runtime
