// Ops on the CPU: the simple ones here, linear layers and attention in files of their own.
#include "runtime/backends/cpu/cpu_backend.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "rotor/kernels/kernels.h"
#include "runtime/backends/cpu/cpu_attention.h"
#include "runtime/backends/cpu/cpu_linear.h"
#include "runtime/backends/cpu/cpu_screened_head.h"
#include "runtime/backends/cpu/memory.h"
#include "runtime/backends/cpu/read_bandwidth.h"
#include "runtime/backends/cpu/thread_pool.h"

namespace rotor::runtime {
namespace {

std::span<float> values(const Tensor& tensor) {
  return {data(tensor), static_cast<size_t>(tensor.rows * tensor.cols)};
}

float relu(float v) {
  return std::max(v, 0.0F);
}
float relu2(float v) {
  return relu(v) * relu(v);
}
float silu(float v) {
  return v / (1.0F + std::exp(-v));
}

class CpuBackend final : public Backend {
 public:
  CpuBackend(int64_t threads, bool pin) : kernels_(kernels::choose_kernels()), pool_(threads, pin) {}

  std::string name() const override { return "cpu"; }
  std::string kernels() const override { return kernels_.name(); }
  int64_t threads() const override { return pool_.threads(); }

  double measure_read_bandwidth() override {
    if (read_bandwidth_ == nullptr) read_bandwidth_ = std::make_unique<ReadBandwidth>(kernels_);
    return read_bandwidth_->measure(pool_);
  }

  Tensor allocate(int64_t rows, int64_t cols) override {
    const auto count = static_cast<size_t>(rows * cols);
    return {rows, cols,
            std::shared_ptr<void>(new float[count](), [](void* p) { delete[] static_cast<float*>(p); })};
  }
  void upload(std::span<const float> from, const Tensor& tensor) override {
    std::copy(from.begin(), from.end(), data(tensor));
  }
  void download(const Tensor& tensor, std::span<float> to) override {
    std::copy_n(data(tensor), to.size(), to.data());
  }

  void embed(const DenseMatrix& table, std::span<const int32_t> ids, const Tensor& y) override {
    const auto cols = static_cast<size_t>(table.cols);
    for (size_t i = 0; i < ids.size(); ++i) {
      float* out = row(y, static_cast<int64_t>(i));
      const auto id = static_cast<size_t>(ids[i]);
      const uint8_t* in = table.data + id * cols * dense_bytes(table.type);
      switch (table.type) {
        case DenseType::f32:
          std::copy_n(reinterpret_cast<const float*>(in), cols, out);
          break;
        case DenseType::f16:
          std::transform(reinterpret_cast<const uint16_t*>(in), reinterpret_cast<const uint16_t*>(in) + cols,
                         out, f16_to_float);
          break;
        case DenseType::q8:
          std::transform(
              reinterpret_cast<const int8_t*>(in), reinterpret_cast<const int8_t*>(in) + cols, out,
              [scale = table.row_scales[id]](int8_t code) { return static_cast<float>(code) * scale; });
          break;
      }
    }
  }

  void copy_rows(const Tensor& x, std::span<const int64_t> rows, const Tensor& y) override {
    for (size_t i = 0; i < rows.size(); ++i)
      std::copy_n(row(x, rows[i]), y.cols, row(y, static_cast<int64_t>(i)));
  }

  void linear(const Tensor& x, const InputNorm& norm, std::span<const Projection> projections) override {
    cpu_linear(kernels_, pool_, x, norm, projections);
  }

  bool can_screen() const override { return true; }
  int64_t screened_head(const Tensor& x, const ScreenedHead& head, const WantedLogits& wanted,
                        const Tensor& y) override {
    return cpu_screened_head(kernels_, pool_, x, head, wanted, y);
  }

  void rms_norm(const Tensor& x, std::span<const float> gain, float eps, const Tensor& y) override {
    pool_.parallel_for(x.rows, grain_of(x.cols), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        kernels_->rms_norm(row(x, r), static_cast<size_t>(x.cols), gain.data(), eps, row(y, r));
      }
    });
  }

  void activation(const Tensor& x, Activation kind, float threshold, const Tensor& y) override {
    const auto in = values(x);
    switch (kind) {
      case Activation::relu:
        std::transform(in.begin(), in.end(), data(y), relu);
        break;
      case Activation::relu2:
        std::transform(in.begin(), in.end(), data(y), relu2);
        break;
      case Activation::sign:
        std::transform(in.begin(), in.end(), data(y),
                       [=](float v) { return static_cast<float>((v > threshold) - (v < -threshold)); });
        break;
      case Activation::silu:
        std::transform(in.begin(), in.end(), data(y), silu);
        break;
      case Activation::gelu:
        break;  // ops.cpp refuses it: encoders have cpu_gelu()
    }
  }

  void gate(const Tensor& gate, const Tensor& up, Activation kind, const Tensor& y) override {
    pool_.parallel_for(gate.rows, grain_of(gate.cols), [&](int64_t begin, int64_t end) {
      if (kind == Activation::relu2) {
        const auto count = static_cast<size_t>((end - begin) * gate.cols);
        return kernels_->gate_relu2(row(gate, begin), row(up, begin), count, row(y, begin));
      }
      const auto multiply = [&](auto act) {
        std::transform(row(gate, begin), row(gate, end), row(up, begin), row(y, begin),
                       [&](float g, float u) { return act(g) * u; });
      };
      return kind == Activation::silu ? multiply(silu) : multiply(relu);
    });
  }

  void rope(const Tensor& x, int64_t head_dim, const RopeTable& table, int64_t position) override {
    pool_.parallel_for(x.rows, grain_of(x.cols), [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) cpu_rope(row(x, t), x.cols, head_dim, table, position + t);
    });
  }

  KvCache allocate_kv_cache(const KvCache& shape) override { return cpu_allocate_kv_cache(shape); }
  void append_kv(const KvCache& cache, int64_t layer, std::span<const TextRows> texts, const RopeTable& rope,
                 const Tensor& q, const Tensor& k, const Tensor& v) override {
    cpu_append_kv(kernels_, pool_, cache, layer, texts, rope, q, k, v);
  }
  void attention(const Tensor& q, const KvCache& cache, int64_t layer, std::span<const TextRows> texts,
                 const Tensor& y) override {
    cpu_attention(kernels_, pool_, q, cache, layer, texts, y);
  }

 private:
  kernels::Kernels kernels_;
  ThreadPool pool_;
  std::unique_ptr<ReadBandwidth> read_bandwidth_;  // made when it is first asked for
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(int64_t threads, bool pin) {
  return std::make_unique<CpuBackend>(threads, pin);
}

}  // namespace rotor::runtime
