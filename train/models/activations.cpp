// Activations and the straight-through gradient of the ternary sign.
#include "train/models/activations.h"

namespace rotor::train {
namespace {

struct TernarySignFunction : torch::autograd::Function<TernarySignFunction> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x,
                               double threshold) {
    context->save_for_backward({x});
    // The threshold is compared as the float32 that the packed model holds.
    const auto t = static_cast<double>(static_cast<float>(threshold));
    return x.gt(t).to(x.scalar_type()) - x.lt(-t).to(x.scalar_type());
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const torch::Tensor x = context->get_saved_variables()[0];
    return {gradients[0] * x.abs().le(1.0).to(x.scalar_type()), torch::Tensor()};
  }
};

}  // namespace

torch::Tensor squared_relu(const torch::Tensor& x) {
  return torch::relu(x).square();
}

torch::Tensor ternary_sign(const torch::Tensor& x, double threshold) {
  return TernarySignFunction::apply(x, threshold);
}

torch::Tensor activate(const torch::Tensor& x, Activation kind, double threshold) {
  switch (kind) {
    case Activation::relu:
      return torch::relu(x);
    case Activation::relu2:
      return squared_relu(x);
    case Activation::sign:
      return ternary_sign(x, threshold);
    case Activation::silu:
      return torch::silu(x);
    case Activation::gelu:
      return torch::gelu(x);
  }
  return x;
}

}  // namespace rotor::train
