// Forward and backward of the ternary linear layer.
#include "train/models/ternary_linear.h"

#include <algorithm>
#include <cmath>

#include "rotor/core/error.h"
#include "train/models/packed_planes.h"

namespace rotor::train {
namespace {

constexpr int64_t kMaxExactInputs = (int64_t{1} << 24) / 127;

/// Products with `codes`, as the options of the layer say. The latent weights only receive gradients: codes
/// and scales were made from them.
struct TernaryLinearFunction : torch::autograd::Function<TernaryLinearFunction> {
  /// input [N, in], codes [out, in], row_scales [out]; the latents' rows together are codes' rows; unused
  /// ones are undefined. -> [N, out] float32
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& input,
                               const torch::Tensor& codes, const torch::Tensor& row_scales,
                               const torch::Tensor& latent0, const torch::Tensor& latent1,
                               const torch::Tensor& latent2, bool int8_activations,
                               torch::ScalarType compute) {
    context->saved_data["int8"] = int8_activations;
    std::vector<int64_t> rows;
    for (const torch::Tensor* latent : {&latent0, &latent1, &latent2}) {
      rows.push_back(latent->size(0));
    }
    context->saved_data["rows"] = rows;
    const torch::Tensor w = codes.to(compute);
    if (!int8_activations) {
      const torch::Tensor x = input.to(compute);
      context->save_for_backward({x, w, row_scales});
      return torch::matmul(x, w.t()).to(torch::kFloat32).mul_(row_scales);
    }
    const QuantizedActivation quantized = quantize_activation(input);
    const torch::Tensor x = quantized.codes.to(compute);
    context->save_for_backward({x, w, row_scales, quantized.scale});
    return torch::matmul(x, w.t()).to(torch::kFloat32).div_(quantized.scale).mul_(row_scales);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor& x = saved[0];
    const torch::Tensor& codes = saved[1];
    const torch::Tensor gradient = gradients[0];
    const bool int8_activations = context->saved_data["int8"].toBool();
    torch::autograd::variable_list result(8);
    if (context->needs_input_grad(0)) {
      result[0] = torch::matmul((gradient * saved[2]).to(codes.scalar_type()), codes).to(torch::kFloat32);
    }
    // The scale of a token divides its gradient rather than its codes: a matrix of the smaller of the two
    // widths.
    const torch::Tensor scaled = (int8_activations ? gradient / saved[3] : gradient).to(x.scalar_type());
    const torch::Tensor grad_weights = torch::matmul(scaled.t(), x).to(torch::kFloat32);
    int64_t first = 0;
    const auto rows = context->saved_data["rows"].toIntVector();
    for (size_t i = 0; i < rows.size(); ++i) {
      if (rows[i] > 0) result[3 + i] = grad_weights.narrow(0, first, rows[i]);
      first += rows[i];
    }
    return result;
  }
};

/// Codes of packed layers, side by side: float32 [sum of out_features, in].
torch::Tensor unpack(const torch::autograd::variable_list& planes, int64_t cols) {
  int64_t rows = 0;
  for (const torch::Tensor& layer : planes) rows += layer.size(1);
  const torch::Tensor codes =
      torch::empty({rows, cols}, torch::TensorOptions().device(planes[0].device()).dtype(torch::kFloat32));
  int64_t first = 0;
  for (const torch::Tensor& layer : planes) {
    unpack_planes(layer, codes.narrow(0, first, layer.size(1)));
    first += layer.size(1);
  }
  return codes;
}

/// Products with layers that are not trained: their codes are unpacked for each pass and not kept. Only the
/// input gets a gradient, straight through its quantizer.
struct PackedLinearFunction : torch::autograd::Function<PackedLinearFunction> {
  /// input [N, in], row_scales [out] -> [N, out] float32
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& input,
                               const torch::Tensor& row_scales, const torch::autograd::variable_list& planes,
                               bool int8_activations, torch::ScalarType compute) {
    torch::autograd::variable_list saved = planes;
    saved.push_back(row_scales);
    context->save_for_backward(saved);
    context->saved_data["columns"] = input.size(1);
    context->saved_data["compute"] = compute;
    const torch::Tensor w = unpack(planes, input.size(1)).to(compute);
    if (!int8_activations)
      return torch::matmul(input.to(compute), w.t()).to(torch::kFloat32).mul_(row_scales);
    const QuantizedActivation x = quantize_activation(input);
    return torch::matmul(x.codes.to(compute), w.t()).to(torch::kFloat32).div_(x.scale).mul_(row_scales);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    torch::autograd::variable_list planes = context->get_saved_variables();
    const torch::Tensor row_scales = planes.back();
    planes.pop_back();
    const auto compute = context->saved_data["compute"].toScalarType();
    const torch::Tensor w = unpack(planes, context->saved_data["columns"].toInt()).to(compute);
    torch::autograd::variable_list result(4 + planes.size());
    result[0] = torch::matmul((gradients[0] * row_scales).to(compute), w).to(torch::kFloat32);
    return result;
  }
};

}  // namespace

TernaryLinearImpl::TernaryLinearImpl(const TernaryLinearOptions& options_in) : options(options_in) {
  if (options.quantization() == Quantization::ternary && options.in_features() > kMaxExactInputs) {
    fail("TernaryLinear: in_features: expected at most ", kMaxExactInputs,
         " (sums must be exact in float32), found ", options.in_features());
  }
  TernaryLinearImpl::reset();
}

void TernaryLinearImpl::reset() {
  if (options.packed()) {
    planes = register_buffer("planes", make_planes(options.out_features(), options.in_features()));
    weight_scale = register_buffer("weight_scale", torch::ones({}));
  } else {
    weight = register_parameter("weight", torch::empty({options.out_features(), options.in_features()}));
    torch::nn::init::kaiming_uniform_(weight, std::sqrt(5.0));
  }
  if (options.bias()) bias = register_parameter("bias", torch::zeros({options.out_features()}));
  if (options.rms_norm_eps()) {
    rms_norm = register_module("rms_norm", RmsNorm(options.in_features(), *options.rms_norm_eps()));
  }
}

void TernaryLinearImpl::pretty_print(std::ostream& stream) const {
  stream << "rotor::train::TernaryLinear(in_features=" << options.in_features()
         << ", out_features=" << options.out_features() << ", bias=" << std::boolalpha << options.bias()
         << ", quantization=" << rotor::name(options.quantization())
         << ", activation_quantization=" << rotor::name(options.activation_quantization());
  if (options.rms_norm_eps()) stream << ", rms_norm_eps=" << *options.rms_norm_eps();
  stream << ")";
}

torch::Tensor TernaryLinearImpl::forward(const torch::Tensor& input) {
  LinearGroup group({TernaryLinear(std::dynamic_pointer_cast<TernaryLinearImpl>(shared_from_this()))});
  return group.forward(input);
}

void TernaryLinearImpl::freeze(std::span<const int8_t> codes, float scale) {
  const torch::NoGradGuard no_grad;
  if (static_cast<int64_t>(codes.size()) != weight.numel()) {
    fail("TernaryLinear: expected ", weight.numel(), " codes, found ", codes.size());
  }
  // from_blob does not write to what it is given.
  weight.copy_(torch::from_blob(const_cast<int8_t*>(codes.data()), weight.sizes(), torch::kInt8));
  weight.set_requires_grad(false);
  frozen_scale_ = torch::full({}, scale, weight.options().requires_grad(false));
}

void TernaryLinearImpl::set_codes(int64_t first, std::span<const int8_t> codes) {
  write_planes(planes, first, options.in_features(), codes);
}

void TernaryLinearImpl::set_scale(float scale) {
  const torch::NoGradGuard no_grad;
  weight_scale.fill_(scale);
}

void TernaryLinearImpl::adapt(int64_t rank, double scale, double dropout) {
  const auto linear = [](int64_t in, int64_t out) {
    return torch::nn::Linear(torch::nn::LinearOptions(in, out).bias(false));
  };
  lora_a = register_module("lora_A", linear(options.in_features(), rank));
  lora_b = register_module("lora_B", linear(rank, options.out_features()));
  lora_scale = scale;
  lora_dropout = dropout;
  torch::nn::init::kaiming_uniform_(lora_a->weight, std::sqrt(5.0));
  torch::nn::init::zeros_(lora_b->weight);
}

torch::Tensor TernaryLinearImpl::quantize_to(const torch::Tensor& codes) const {
  if (!frozen_scale_.defined()) return quantize_weight_to(weight, codes);
  codes.copy_(weight);
  return frozen_scale_;
}

LinearGroup::LinearGroup(std::vector<TernaryLinear> layers) : layers_(std::move(layers)) {
  const Quantization kind = layers_.front()->options.quantization();
  const bool share = std::ranges::all_of(layers_, [&](const TernaryLinear& layer) {
    return layer->rms_norm.is_empty() && layer->options.quantization() == kind;
  });
  if (share || layers_.size() == 1) return;
  for (const TernaryLinear& layer : layers_) apart_.push_back(LinearGroup({layer}));
}

torch::Tensor LinearGroup::forward(const torch::Tensor& input) {
  if (!apart_.empty()) {
    std::vector<torch::Tensor> outputs;
    for (LinearGroup& group : apart_) outputs.push_back(group.forward(input));
    return torch::cat(outputs, -1);
  }
  torch::Tensor output = products(input);
  if (const torch::Tensor added = adapters(input); added.defined()) output = output + added;
  if (!layers_.front()->options.bias()) return output;
  std::vector<torch::Tensor> biases;
  for (const TernaryLinear& layer : layers_) biases.push_back(layer->bias);
  return output + torch::cat(biases);
}

torch::Tensor LinearGroup::products(const torch::Tensor& input_in) {
  TernaryLinear& first = layers_.front();
  const torch::Tensor input = first->rms_norm.is_empty() ? input_in : first->rms_norm->forward(input_in);
  const TernaryLinearOptions& options = first->options;
  if (options.packed()) return forward_packed(input);
  if (options.quantization() == Quantization::ternary) {
    return first->ternary_share() < 1.0 ? forward_partly_ternary(input) : forward_ternary(input);
  }
  std::vector<torch::Tensor> outputs;
  for (const TernaryLinear& layer : layers_) {
    const torch::Tensor w = layer->weight.to(options.compute());
    outputs.push_back(torch::nn::functional::linear(input.to(options.compute()), w).to(torch::kFloat32));
  }
  return outputs.size() == 1 ? outputs[0] : torch::cat(outputs, -1);
}

torch::Tensor LinearGroup::adapters(const torch::Tensor& input) {
  const auto is_adapted = [](const TernaryLinear& layer) { return !layer->lora_a.is_empty(); };
  if (std::ranges::none_of(layers_, is_adapted)) return {};
  std::vector<torch::Tensor> outputs;
  for (TernaryLinear& layer : layers_) {
    if (!is_adapted(layer)) {
      std::vector<int64_t> shape = input.sizes().vec();
      shape.back() = layer->options.out_features();
      outputs.push_back(torch::zeros(shape, input.options()));
      continue;
    }
    const torch::Tensor x = torch::dropout(input, layer->lora_dropout, layer->is_training());
    outputs.push_back(layer->lora_b(layer->lora_a(x)) * layer->lora_scale);
  }
  return outputs.size() == 1 ? outputs[0] : torch::cat(outputs, -1);
}

torch::Tensor LinearGroup::forward_packed(const torch::Tensor& input) {
  const TernaryLinearOptions& options = layers_.front()->options;
  torch::autograd::variable_list planes;
  std::vector<torch::Tensor> scales;
  for (const TernaryLinear& layer : layers_) {
    planes.push_back(layer->planes);
    scales.push_back(layer->weight_scale.expand({layer->options.out_features()}));
  }
  const torch::Tensor output = PackedLinearFunction::apply(
      input.reshape({-1, options.in_features()}), torch::cat(scales), planes,
      options.activation_quantization() == ActivationQuantization::int8_absmax, options.compute());
  std::vector<int64_t> shape = input.sizes().vec();
  shape.back() = output.size(-1);
  return output.reshape(shape);
}

void LinearGroup::refresh_codes() {
  std::vector<std::pair<void*, int64_t>> versions;
  int64_t rows = 0;
  for (const TernaryLinear& layer : layers_) {
    versions.emplace_back(layer->weight.data_ptr(), layer->weight._version());
    rows += layer->weight.size(0);
  }
  if (versions == versions_) return;
  const torch::NoGradGuard no_grad;
  const torch::Tensor& first_weight = layers_.front()->weight;
  // New memory each time: an earlier pass may still hold the old codes for its backward.
  const auto float_options = torch::TensorOptions().device(first_weight.device()).dtype(torch::kFloat32);
  codes_ = torch::empty({rows, first_weight.size(1)}, float_options);
  row_scales_ = torch::empty({rows}, float_options);
  int64_t first = 0;
  for (const TernaryLinear& layer : layers_) {
    const int64_t count = layer->weight.size(0);
    row_scales_.narrow(0, first, count).copy_(layer->quantize_to(codes_.narrow(0, first, count)));
    first += count;
  }
  versions_ = std::move(versions);
}

torch::Tensor LinearGroup::forward_partly_ternary(const torch::Tensor& input) {
  refresh_codes();
  const TernaryLinearOptions& options = layers_.front()->options;
  const double share = layers_.front()->ternary_share();
  // The quantized part has no gradient of its own: both factors pass theirs straight through.
  const auto mixed = [&](const torch::Tensor& value, const torch::Tensor& quantized) {
    return value + (quantized - value.detach()) * share;
  };
  torch::Tensor x = input;
  if (options.activation_quantization() == ActivationQuantization::int8_absmax) {
    const torch::NoGradGuard no_grad;
    const QuantizedActivation quantized = quantize_activation(input.detach());
    x = quantized.codes / quantized.scale;
  }
  x = x.is_same(input) ? input : mixed(input, x);
  std::vector<torch::Tensor> latents;
  for (const TernaryLinear& layer : layers_) latents.push_back(layer->weight);
  const torch::Tensor w = mixed(torch::cat(latents), codes_ * row_scales_.unsqueeze(1));
  return torch::nn::functional::linear(x.to(options.compute()), w.to(options.compute())).to(torch::kFloat32);
}

torch::Tensor LinearGroup::forward_ternary(const torch::Tensor& input) {
  refresh_codes();
  const TernaryLinearOptions& options = layers_.front()->options;
  const auto latent = [&](size_t i) { return i < layers_.size() ? layers_[i]->weight : torch::empty({0}); };
  const torch::Tensor output = TernaryLinearFunction::apply(
      input.reshape({-1, options.in_features()}), codes_, row_scales_, latent(0), latent(1), latent(2),
      options.activation_quantization() == ActivationQuantization::int8_absmax, options.compute());
  std::vector<int64_t> shape = input.sizes().vec();
  shape.back() = codes_.size(0);
  return output.reshape(shape);
}

}  // namespace rotor::train
