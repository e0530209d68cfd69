// Activations and their gradients.
#include "train/models/activations.h"

#include <gtest/gtest.h>

#include "tests/support/golden.h"

namespace rotor::train {
namespace {

TEST(SquaredRelu, AgreesWithGolden) {
  const auto golden = test::open_golden("primitives/relu2.safetensors");
  for (const std::string& name : test::golden_cases(golden, "relu2")) {
    if (golden.at(name + ".gate").dtype != DType::f32) continue;
    std::vector<float> x = golden.read<float>(name + ".gate");
    const std::vector<float> expected = golden.read<float>(name + ".relu2");
    const torch::Tensor y = squared_relu(torch::from_blob(x.data(), {static_cast<int64_t>(x.size())}));
    for (size_t i = 0; i < x.size(); ++i) {
      EXPECT_NEAR(y[static_cast<int64_t>(i)].item<float>(), expected[i],
                  1e-37F + 1e-6F * expected[i]);  // README tolerance
    }
  }
}

TEST(TernarySign, ValuesAndWindowedGradient) {
  torch::Tensor x = torch::tensor({-1.5F, -1.0F, -0.6F, -0.5F, 0.0F, 0.5F, 0.6F, 1.0F, 1.01F});
  x.requires_grad_(true);
  const torch::Tensor y = ternary_sign(x, 0.5);
  EXPECT_TRUE(torch::equal(y, torch::tensor({-1.F, -1.F, -1.F, 0.F, 0.F, 0.F, 1.F, 1.F, 1.F})));
  const torch::Tensor weights = torch::arange(1, 10, torch::kFloat32);
  (y * weights).sum().backward();
  EXPECT_TRUE(torch::equal(x.grad(), torch::tensor({0.F, 2.F, 3.F, 4.F, 5.F, 6.F, 7.F, 8.F, 0.F})));
}

TEST(Activate, Dispatches) {
  const torch::Tensor x = torch::tensor({-2.0F, 3.0F});
  EXPECT_TRUE(torch::equal(activate(x, Activation::relu, 0), torch::tensor({0.0F, 3.0F})));
  EXPECT_TRUE(torch::equal(activate(x, Activation::relu2, 0), torch::tensor({0.0F, 9.0F})));
  EXPECT_TRUE(torch::equal(activate(x, Activation::sign, 2.5), torch::tensor({0.0F, 1.0F})));
}

}  // namespace
}  // namespace rotor::train
