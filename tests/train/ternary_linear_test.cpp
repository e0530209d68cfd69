// The layer against golden vectors, and its gradients against the straight-through formula in autograd's own
// words.
#include "train/models/ternary_linear.h"

#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "rotor/core/error.h"
#include "rotor/core/quantize.h"
#include "tests/support/golden.h"
#include "tests/support/temp_dir.h"
#include "train/models/norm.h"

namespace rotor::train {
namespace {

torch::Tensor golden_tensor(const SafetensorsFile& golden, const std::string& name) {
  const TensorInfo& info = golden.at(name);
  std::vector<float> values = golden.read_as_float(info);
  return torch::from_blob(values.data(), info.shape, torch::kFloat32).clone();
}

// README tolerance: rtol 1e-5, atol 1e-5 * max|y|.
TEST(TernaryLinear, ForwardAgreesWithGolden) {
  const auto golden = test::open_golden("primitives/linear.safetensors");
  const auto cases = test::golden_cases(golden, "y_online");
  ASSERT_EQ(cases.size(), 5U);
  for (const std::string& name : cases) {
    SCOPED_TRACE(name);
    const torch::Tensor weight = golden_tensor(golden, name + ".weight_bf16");
    const torch::Tensor x = golden_tensor(golden, name + ".x");
    const torch::Tensor expected = golden_tensor(golden, name + ".y_online");
    TernaryLinear layer(TernaryLinearOptions(weight.size(1), weight.size(0)));
    {
      const torch::NoGradGuard no_grad;
      layer->weight.copy_(weight);
    }
    const double atol = 1e-5 * expected.abs().max().item<double>();
    EXPECT_TRUE(torch::allclose(layer(x), expected, 1e-5, atol));
    const QuantizedActivation quantized = quantize_activation(x);
    const auto codes = golden.read<int8_t>(name + ".x_int8");
    const torch::Tensor found = quantized.codes.to(torch::kInt8).contiguous();
    EXPECT_TRUE(std::equal(codes.begin(), codes.end(), found.data_ptr<int8_t>()));
  }
}

TEST(TernaryLinear, GradientsAreStraightThrough) {
  torch::manual_seed(1);
  for (const auto kind : {ActivationQuantization::int8_absmax, ActivationQuantization::ternary_threshold}) {
    for (const std::vector<int64_t>& shape : {std::vector<int64_t>{5, 33}, std::vector<int64_t>{2, 3, 33}}) {
      TernaryLinear layer(TernaryLinearOptions(33, 17).bias(true).activation_quantization(kind));
      torch::Tensor x = torch::randn(shape);
      if (kind == ActivationQuantization::ternary_threshold) x = x.sign();
      x.requires_grad_(true);
      const torch::Tensor gradient = torch::randn({shape[0], 17});
      const auto loss = [&](const torch::Tensor& y) { return (y * y.detach().sin()).sum(); };
      loss(layer(x)).backward();
      const torch::Tensor grad_x = x.grad().clone();
      const torch::Tensor grad_w = layer->weight.grad().clone();
      const torch::Tensor grad_b = layer->bias.grad().clone();
      x.mutable_grad().zero_();
      layer->weight.mutable_grad().zero_();
      layer->bias.mutable_grad().zero_();

      // SPECS: s = 1 / max(mean|W|, 1e-5); T = clamp(round(W s), -1, 1); W' = T / s; W + (W' - W).detach(),
      // and so for x.
      const torch::Tensor w = layer->weight;
      const torch::Tensor s = 1.0 / w.detach().abs().mean().clamp_min(1e-5);
      const torch::Tensor dequantized = (w.detach() * s).round().clamp(-1, 1) / s;
      const torch::Tensor ste_w = w + (dequantized - w).detach();
      torch::Tensor ste_x = x;
      if (kind == ActivationQuantization::int8_absmax) {
        const torch::Tensor xs = 127.0 / x.detach().abs().amax(-1, true).clamp_min(1e-5);
        ste_x = x + ((x.detach() * xs).round().clamp(-128, 127) / xs - x).detach();
      }
      loss(torch::nn::functional::linear(ste_x, ste_w, layer->bias)).backward();
      // Sums of at most 33 products, twice: a few 1e-6 relative.
      EXPECT_TRUE(torch::allclose(grad_x, x.grad(), 1e-4, 1e-5));
      EXPECT_TRUE(torch::allclose(grad_w, layer->weight.grad(), 1e-4, 1e-5));
      EXPECT_TRUE(torch::allclose(grad_b, layer->bias.grad(), 1e-4, 1e-5));
    }
  }
}

TEST(TernaryLinear, FloatTwinIsAnOrdinaryLinearLayer) {
  TernaryLinear layer(TernaryLinearOptions(8, 4).bias(true).quantization(Quantization::none));
  const torch::Tensor x = torch::randn({3, 8});
  EXPECT_TRUE(torch::equal(layer(x), torch::nn::functional::linear(x, layer->weight, layer->bias)));
}

TEST(TernaryLinear, GenericQuantizerAgreesWithCore) {
  // The formula that runs on a GPU, here on the CPU in double: codes may differ on at most one in a million.
  torch::manual_seed(2);
  const torch::Tensor w = torch::randn({1000, 1000});
  const QuantizedWeight core = quantize_weight(w);
  const QuantizedWeight generic = quantize_weight(w.to(torch::kFloat64));
  EXPECT_LE(core.codes.ne(generic.codes).sum().item<int64_t>(), 1);
  EXPECT_NEAR(core.scale.item<float>(), generic.scale.item<float>(), 1e-6);
}

TEST(TernaryLinear, SumsStayExactAtFullWidth) {
  // 6912 inputs, all codes 127 times +1: 877824 is exact in float32, and the layer must say so.
  TernaryLinear layer(TernaryLinearOptions(6912, 1));
  {
    const torch::NoGradGuard no_grad;
    layer->weight.fill_(1.0);
  }
  const QuantizedActivation x = quantize_activation(torch::ones({1, 6912}));
  EXPECT_EQ(torch::matmul(x.codes, quantize_weight(layer->weight).codes.t()).item<float>(), 127.0F * 6912);
  test::expect_error([] { TernaryLinear(TernaryLinearOptions(200'000, 1)); },
                     {"in_features", "132104", "200000"});
}

TEST(TernaryLinear, NotFiniteLatentsAreNamed) {
  TernaryLinear layer(TernaryLinearOptions(4, 2));
  {
    const torch::NoGradGuard no_grad;
    layer->weight[1][2] = NAN;
  }
  test::expect_error([&] { layer(torch::ones({1, 4})); }, {"weight 6 of 8", "finite"});
}

TEST(TernaryLinear, PrintsItsOptionsAndClones) {
  TernaryLinear layer(TernaryLinearOptions(4, 2).bias(true));
  std::ostringstream text;
  text << *layer;
  EXPECT_EQ(text.str(),
            "rotor::train::TernaryLinear(in_features=4, out_features=2, bias=true, quantization=ternary, "
            "activation_quantization=int8_absmax_per_token)");
  const auto clone = std::dynamic_pointer_cast<TernaryLinearImpl>(layer->clone());
  EXPECT_TRUE(torch::equal(clone->weight, layer->weight));
  EXPECT_FALSE(clone->weight.is_same(layer->weight));
}

// README tolerance: f32 rtol 1e-5, atol 1e-6.
TEST(RmsNorm, AgreesWithGolden) {
  const auto golden = test::open_golden("primitives/rmsnorm.safetensors");
  for (const std::string& name : test::golden_cases(golden, "y")) {
    if (golden.at(name + ".x").dtype != DType::f32) continue;
    const torch::Tensor weight = golden_tensor(golden, name + ".weight");
    RmsNorm norm(weight.numel(), golden.read<double>(name + ".eps")[0]);
    {
      const torch::NoGradGuard no_grad;
      norm->weight.copy_(weight);
    }
    EXPECT_TRUE(torch::allclose(norm(golden_tensor(golden, name + ".x")), golden_tensor(golden, name + ".y"),
                                1e-5, 1e-6))
        << name;
  }
}

}  // namespace
}  // namespace rotor::train
