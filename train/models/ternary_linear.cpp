// Forward and backward of the ternary linear layer.
#include "train/models/ternary_linear.h"

#include <cmath>

#include "rotor/core/error.h"
#include "rotor/core/quantize.h"

namespace rotor::train {
namespace {

constexpr int64_t kMaxExactInputs = (int64_t{1} << 24) / 127;

struct TernaryLinearFunction : torch::autograd::Function<TernaryLinearFunction> {
  /// input [B, in], weight [out, in] -> [B, out]
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& input,
                               const torch::Tensor& weight, bool int8_activations) {
    const QuantizedWeight w = quantize_weight(weight);
    context->saved_data["int8"] = int8_activations;
    if (!int8_activations) {
      context->save_for_backward({input, w.codes, w.scale});
      return torch::matmul(input, w.codes.t()) * w.scale;
    }
    const QuantizedActivation x = quantize_activation(input);
    context->save_for_backward({x.codes, w.codes, w.scale, x.scale});
    return torch::matmul(x.codes, w.codes.t()) / x.scale * w.scale;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor gradient = gradients[0];
    const bool int8_activations = context->saved_data["int8"].toBool();
    torch::Tensor grad_input;
    torch::Tensor grad_weight;
    if (context->needs_input_grad(0)) grad_input = torch::matmul(gradient, saved[1]) * saved[2];
    if (context->needs_input_grad(1)) {
      const torch::Tensor x = int8_activations ? saved[0] / saved[3] : saved[0];
      grad_weight = torch::matmul(gradient.t(), x);
    }
    return {grad_input, grad_weight, torch::Tensor()};
  }
};

}  // namespace

QuantizedWeight quantize_weight(const torch::Tensor& weight) {
  const torch::NoGradGuard no_grad;
  if (weight.is_cpu() && weight.scalar_type() == torch::kFloat32) {
    const torch::Tensor latent = weight.detach().contiguous();
    torch::Tensor codes = torch::empty(latent.sizes(), torch::kInt8);
    const auto count = static_cast<size_t>(latent.numel());
    const TernaryScale scale =
        quantize_absmean({latent.data_ptr<float>(), count}, {codes.data_ptr<int8_t>(), count});
    return {codes.to(torch::kFloat32), torch::full({}, scale.scale, torch::kFloat32)};
  }
  const torch::Tensor mean = weight.detach().abs().mean(torch::kFloat64).to(torch::kFloat32);
  const torch::Tensor inverse_scale = mean.clamp_min(kQuantizerEpsilon).reciprocal();
  const torch::Tensor codes = (weight.detach().to(torch::kFloat32) * inverse_scale).round().clamp(-1, 1);
  return {codes, inverse_scale.reciprocal()};
}

QuantizedActivation quantize_activation(const torch::Tensor& input) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor x = input.detach().to(torch::kFloat32);
  const torch::Tensor scale = 127.0F / x.abs().amax(-1, /*keepdim=*/true).clamp_min(kQuantizerEpsilon);
  return {(x * scale).round().clamp(-128, 127), scale};
}

TernaryLinearImpl::TernaryLinearImpl(const TernaryLinearOptions& options_in) : options(options_in) {
  if (options.quantization() == Quantization::ternary && options.in_features() > kMaxExactInputs) {
    fail("TernaryLinear: in_features: expected at most ", kMaxExactInputs,
         " (sums must be exact in float32), found ", options.in_features());
  }
  TernaryLinearImpl::reset();
}

void TernaryLinearImpl::reset() {
  weight = register_parameter("weight", torch::empty({options.out_features(), options.in_features()}));
  torch::nn::init::kaiming_uniform_(weight, std::sqrt(5.0));
  if (options.bias()) bias = register_parameter("bias", torch::zeros({options.out_features()}));
}

void TernaryLinearImpl::pretty_print(std::ostream& stream) const {
  stream << "rotor::train::TernaryLinear(in_features=" << options.in_features()
         << ", out_features=" << options.out_features() << ", bias=" << std::boolalpha << options.bias()
         << ", quantization=" << rotor::name(options.quantization())
         << ", activation_quantization=" << rotor::name(options.activation_quantization()) << ")";
}

torch::Tensor TernaryLinearImpl::forward(const torch::Tensor& input) {
  if (options.quantization() == Quantization::none) return torch::nn::functional::linear(input, weight, bias);
  const bool int8_activations = options.activation_quantization() == ActivationQuantization::int8_absmax;
  const torch::Tensor flat = input.reshape({-1, options.in_features()});
  torch::Tensor output = TernaryLinearFunction::apply(flat, weight, int8_activations);
  if (bias.defined()) output = output + bias;
  std::vector<int64_t> shape = input.sizes().vec();
  shape.back() = options.out_features();
  return output.reshape(shape);
}

}  // namespace rotor::train
