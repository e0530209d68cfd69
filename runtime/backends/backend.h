// What a device must be able to do: hold activations and compute the ops of a forward pass. One folder a
// backend, registered on one line in registry.cpp. Shapes are checked by runtime/ops before they get here.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "rotor/core/model_config.h"
#include "rotor/formats/rotor_file.h"

namespace rotor::runtime {

/// Float32 activations [rows, cols], row-major, in a backend's memory. Copies share the memory.
struct Tensor {
  int64_t rows = 0;
  int64_t cols = 0;
  std::shared_ptr<void> storage;  ///< what it is, only the backend knows
};

/// Weights of a linear layer, used where they lie in the model file: planes and a scale, or a float matrix.
struct LinearWeights {
  int64_t rows = 0;              ///< outputs
  int64_t cols = 0;              ///< inputs
  TernaryMatrix ternary;         ///< unless activation_quantization is none
  std::span<const float> dense;  ///< [rows, cols] if it is
  std::span<const float> bias;   ///< empty, or [rows]
  ActivationQuantization activation_quantization = ActivationQuantization::none;
  float ternary_threshold = 0.0F;  ///< of ActivationQuantization::ternary_threshold
};

class Backend {
 public:
  virtual ~Backend() = default;

  /// "cpu".
  virtual std::string name() const = 0;
  /// Name of the kernels in use, e.g. "avx2".
  virtual std::string kernels() const = 0;

  /// Memory for [rows, cols] floats, unspecified at first; it lives as long as a copy of the Tensor does.
  /// Throws Error or std::bad_alloc if there is none. A Tensor belongs to the backend that made it.
  virtual Tensor allocate(int64_t rows, int64_t cols) = 0;
  /// Copies rows * cols values, row-major, to and from the tensor; both return when the copy is done.
  virtual void upload(std::span<const float> values, const Tensor& tensor) = 0;
  virtual void download(const Tensor& tensor, std::span<float> values) = 0;

  /// y[b, r] = sum_c weight[r, c] * quantized(x[b, c]) + bias[r]; x [B, cols], y [B, rows].
  /// Ternary by int8: y = sum / x_scale * weight_scale (SPECS.md section 1); ternary by ternary: y = sum *
  /// weight_scale.
  virtual void linear(const Tensor& x, const LinearWeights& weights, const Tensor& y) = 0;
  /// y = x / sqrt(mean(x^2) + eps) * gain, per row; gain [cols]. y may be x.
  virtual void rms_norm(const Tensor& x, std::span<const float> gain, float eps, const Tensor& y) = 0;
  /// relu: y = max(x, 0); relu2: its square; sign: +1 where x > threshold, -1 where x < -threshold, else 0. y
  /// may be x.
  virtual void activation(const Tensor& x, Activation kind, float threshold, const Tensor& y) = 0;
};

/// The names of all registered backends, in order of preference.
std::vector<std::string> backend_names();

/// The backend named by `name`, or by ROTOR_BACKEND if `name` is empty, or the first that runs here.
/// Throws Error listing the names if there is none of that name, or saying why it cannot run.
std::unique_ptr<Backend> make_backend(const std::string& name = "");

}  // namespace rotor::runtime
