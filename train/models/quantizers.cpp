// Quantizers in one pass where LibTorch would take one an operation.
#include "train/models/quantizers.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "rotor/core/quantize.h"

namespace rotor::train {
namespace {

constexpr int64_t kGrain = 16384;  // elements that are worth a thread

/// Half to even, for |v| < 2^22: what is added pushes the fraction out of the mantissa. NaN stays NaN.
float round_half_even(float v) {
  constexpr float kShift = 12582912.0F;  // 1.5 * 2^23
  return (v + kShift) - kShift;
}

void quantize_row(const float* x, float* codes, float* scale, int64_t count) {
  float largest = kQuantizerEpsilon;
  for (int64_t i = 0; i < count; ++i) largest = std::max(largest, std::fabs(x[i]));
  *scale = 127.0F / largest;
  for (int64_t i = 0; i < count; ++i) {
    const float code = round_half_even(x[i] * *scale);
    codes[i] = code > 127.0F ? 127.0F : code < -128.0F ? -128.0F : code;
  }
}

QuantizedActivation quantize_activation_cpu(const torch::Tensor& input) {
  const torch::Tensor x = input.contiguous();
  const int64_t width = x.size(-1);
  std::vector<int64_t> scale_shape = x.sizes().vec();
  scale_shape.back() = 1;
  QuantizedActivation result{torch::empty_like(x), torch::empty(scale_shape, x.options())};
  const float* values = x.data_ptr<float>();
  auto* codes = result.codes.data_ptr<float>();
  auto* scales = result.scale.data_ptr<float>();
  at::parallel_for(0, result.scale.numel(), std::max<int64_t>(1, kGrain / width),
                   [&](int64_t begin, int64_t end) {
                     for (int64_t row = begin; row < end; ++row) {
                       quantize_row(values + row * width, codes + row * width, scales + row, width);
                     }
                   });
  return result;
}

}  // namespace

torch::Tensor quantize_weight_to(const torch::Tensor& weight, const torch::Tensor& codes) {
  const torch::NoGradGuard no_grad;
  if (weight.is_cpu() && weight.scalar_type() == torch::kFloat32) {
    const torch::Tensor latent = weight.detach().contiguous();
    const auto count = static_cast<size_t>(latent.numel());
    const TernaryScale scale =
        quantize_absmean({latent.data_ptr<float>(), count}, {codes.data_ptr<float>(), count});
    return torch::full({}, scale.scale, torch::kFloat32);
  }
  const torch::Tensor mean = weight.detach().abs().mean(torch::kFloat64).to(torch::kFloat32);
  const torch::Tensor inverse_scale = mean.clamp_min(kQuantizerEpsilon).reciprocal();
  codes.copy_((weight.detach().to(torch::kFloat32) * inverse_scale).round().clamp(-1, 1));
  return inverse_scale.reciprocal();
}

QuantizedWeight quantize_weight(const torch::Tensor& weight) {
  QuantizedWeight result;
  result.codes = torch::empty(weight.sizes(), weight.options().dtype(torch::kFloat32).requires_grad(false));
  result.scale = quantize_weight_to(weight, result.codes);
  return result;
}

QuantizedActivation quantize_activation(const torch::Tensor& input) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor x = input.detach().to(torch::kFloat32);
  if (x.is_cpu() && x.numel() > 0) return quantize_activation_cpu(x);
  const torch::Tensor scale = 127.0F / x.abs().amax(-1, /*keepdim=*/true).clamp_min(kQuantizerEpsilon);
  return {(x * scale).round().clamp(-128, 127), scale};
}

}  // namespace rotor::train
