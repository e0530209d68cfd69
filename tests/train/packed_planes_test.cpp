// Ternary layers that are kept as planes, and layers on the way to being ternary.
#include "train/models/packed_planes.h"

#include <gtest/gtest.h>

#include <cmath>

#include "rotor/core/quantize.h"
#include "tests/support/random.h"
#include "train/models/adapter.h"
#include "train/models/ternary_linear.h"

namespace rotor::train {
namespace {

TEST(PackedPlanes, GiveTheCodesBack) {
  test::Random random;
  for (const int64_t cols : {1, 7, 8, 9, 64, 131}) {
    const int64_t rows = 5;
    std::vector<int8_t> codes(static_cast<size_t>(rows * cols));
    for (int8_t& code : codes) code = static_cast<int8_t>(random.integer(-1, 1));
    const torch::Tensor planes = make_planes(rows, cols);
    EXPECT_EQ(planes.numel(), 2 * rows * plane_row_bytes(cols));
    write_planes(planes, 0, cols, std::span(codes).first(static_cast<size_t>(2 * cols)));
    write_planes(planes, 2, cols, std::span(codes).subspan(static_cast<size_t>(2 * cols)));
    const torch::Tensor found = torch::full({rows, cols}, 5.0);
    unpack_planes(planes, found);
    const torch::Tensor expected =
        torch::from_blob(codes.data(), {rows, cols}, torch::kInt8).to(torch::kFloat32);
    EXPECT_TRUE(found.equal(expected)) << cols;
  }
}

/// Two layers of the same weights, as latents and as planes.
std::pair<TernaryLinear, TernaryLinear> twins(int64_t in, int64_t out) {
  TernaryLinear latent{TernaryLinearOptions(in, out)};
  TernaryLinear packed{TernaryLinearOptions(in, out).packed(true)};
  std::vector<int8_t> codes(static_cast<size_t>(in * out));
  const torch::Tensor weight = latent->weight.detach();
  const TernaryScale scale =
      quantize_absmean(std::span(weight.data_ptr<float>(), codes.size()), std::span<int8_t>(codes));
  packed->set_codes(0, codes);
  packed->set_scale(scale.scale);
  return {latent, packed};
}

TEST(PackedLinear, ComputesAsTheLatentsDo) {
  torch::manual_seed(1);
  auto [latent, packed] = twins(40, 24);
  EXPECT_TRUE(packed->parameters().empty());
  torch::Tensor x = torch::randn({2, 3, 40});
  torch::Tensor y = x.clone();
  x.requires_grad_();
  y.requires_grad_();
  const torch::Tensor expected = latent->forward(x);
  const torch::Tensor found = packed->forward(y);
  EXPECT_TRUE(found.equal(expected));
  const torch::Tensor gradient = torch::randn_like(expected);
  expected.backward(gradient);
  found.backward(gradient);
  EXPECT_TRUE(y.grad().equal(x.grad()));
}

TEST(PackedLinear, AnAdapterAddsItsProduct) {
  torch::manual_seed(2);
  auto [latent, packed] = twins(40, 24);
  const torch::Tensor x = torch::randn({3, 40});
  const torch::Tensor before = packed->forward(x);
  packed->adapt(4, 0.5, 0.0);
  EXPECT_TRUE(packed->forward(x).equal(before)) << "B is zero at first";
  {
    const torch::NoGradGuard no_grad;
    packed->lora_b->weight.normal_();
  }
  const torch::Tensor product = packed->lora_b->weight.matmul(packed->lora_a->weight) * 0.5;
  EXPECT_TRUE(packed->forward(x).allclose(before + x.matmul(product.t()), 1e-5, 1e-5));
  ASSERT_EQ(packed->named_parameters().size(), 2U);
  EXPECT_TRUE(packed->named_parameters().contains("lora_A.weight"));
}

TEST(AdapterSizes, AreThoseOfTheProducts) {
  torch::manual_seed(4);
  torch::nn::Sequential layers(TernaryLinear(TernaryLinearOptions(12, 7).packed(true)), TernaryLinear(12, 5),
                               TernaryLinear(TernaryLinearOptions(5, 6).quantization(Quantization::none)));
  const auto at = [&](size_t i) { return layers[i]->as<TernaryLinearImpl>(); };
  std::vector<int8_t> codes(12 * 7);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<int8_t>(static_cast<int>(i % 3) - 1);
  at(0)->set_codes(0, codes);
  at(0)->set_scale(0.5F);
  EXPECT_TRUE(adapter_sizes(*layers).empty());
  double products = 0.0;
  double matrices = 0.0;
  std::vector<double> expected;
  for (const size_t i : {size_t{0}, size_t{2}}) {
    at(i)->adapt(3, 1.5, 0.0);
    const torch::NoGradGuard no_grad;
    at(i)->lora_b->weight.normal_();
    const torch::Tensor product = 1.5 * torch::matmul(at(i)->lora_b->weight, at(i)->lora_a->weight);
    const double matrix = i == 0 ? 0.25 * 56 : at(i)->weight.square().sum().item<double>();
    products += product.square().sum().item<double>();
    matrices += matrix;
    expected.push_back(std::sqrt(product.square().sum().item<double>() / matrix));
  }
  const auto sizes = adapter_sizes(*layers);
  ASSERT_EQ(sizes.size(), 3U);
  EXPECT_EQ(sizes[0].first, "all");
  EXPECT_NEAR(sizes[0].second, std::sqrt(products / matrices), 1e-5);
  EXPECT_EQ(sizes[1].first, "0");
  EXPECT_NEAR(sizes[1].second, expected[0], 1e-5);
  EXPECT_NEAR(sizes[2].second, expected[1], 1e-5);
}

TEST(TernaryShare, GoesFromTheFloatLayerToTheTernaryOne) {
  torch::manual_seed(3);
  TernaryLinear layer{TernaryLinearOptions(40, 24)};
  const torch::Tensor x = torch::randn({3, 40}).requires_grad_();
  const torch::Tensor whole = layer->forward(x).detach();
  layer->set_ternary_share(0.0);
  const torch::Tensor plain = layer->forward(x);
  EXPECT_TRUE(plain.allclose(x.matmul(layer->weight.t()), 1e-5, 1e-5));
  const torch::Tensor gradient = torch::randn_like(plain);
  plain.backward(gradient);
  EXPECT_TRUE(layer->weight.grad().allclose(gradient.t().matmul(x.detach()), 1e-4, 1e-5));
  layer->set_ternary_share(0.999999);
  EXPECT_TRUE(layer->forward(x).allclose(whole, 1e-3, 1e-3));
  // Half way: both factors are half way.
  layer->set_ternary_share(0.5);
  const QuantizedWeight w = quantize_weight(layer->weight.detach());
  const QuantizedActivation a = quantize_activation(x.detach());
  const torch::Tensor half_w = (layer->weight.detach() + w.codes * w.scale) * 0.5;
  const torch::Tensor half_x = (x.detach() + a.codes / a.scale) * 0.5;
  EXPECT_TRUE(layer->forward(x).allclose(half_x.matmul(half_w.t()), 1e-4, 1e-5));
}

}  // namespace
}  // namespace rotor::train
