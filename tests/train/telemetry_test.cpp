// Ternary telemetry on weights made by hand, where every share can be counted.
#include "train/trainer/telemetry.h"

#include <gtest/gtest.h>

#include <limits>

#include "rotor/core/quantize.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"
#include "train/models/ternary_mlp.h"

namespace rotor::train {
namespace {

torch::Tensor matrix(const std::vector<float>& values, int64_t rows) {
  return torch::tensor(values).reshape({rows, -1});
}

std::map<std::string, double> shares(const LayerTelemetry& layer) {
  const auto found = figures(layer);
  return {found.begin(), found.end()};
}

TEST(TernaryTelemetry, CountsCodes) {
  // mean|w| = 1: codes are those of the values themselves, and 0.5 is the tie that rounds to 0.
  const torch::Tensor weight = matrix({2.0F, -2.5F, 0.5F, 2.75F,   //
                                       0.0F, 0.25F, -0.25F, 0.0F,  // dead
                                       -0.75F, 1.0F, 1.5F, 0.5F},
                                      3);
  TernaryTelemetry telemetry;
  const auto layers = telemetry.observe({{"w", weight}});
  ASSERT_EQ(layers.size(), 1U);
  EXPECT_EQ(layers[0].name, "w");
  EXPECT_EQ(layers[0].num_weights, 12);
  EXPECT_EQ(layers[0].minus, 2);
  EXPECT_EQ(layers[0].zero, 6);
  EXPECT_EQ(layers[0].plus, 4);
  EXPECT_EQ(layers[0].dead_rows, 1);
  EXPECT_EQ(layers[0].near_threshold, 2);
  EXPECT_EQ(layers[0].scale, 1.0F);
  const std::map<std::string, double> expected = {{"minus", 2 / 12.0}, {"zero", 6 / 12.0},
                                                  {"plus", 4 / 12.0},  {"near_threshold", 2 / 12.0},
                                                  {"dead_rows", 1.0},  {"scale", 1.0}};
  EXPECT_EQ(shares(layers[0]), expected);  // and no figures of change
}

TEST(TernaryTelemetry, CountsWhatIsNearAThreshold) {
  // mean|w| = 1. 0.4375 and 0.5625 are outside [0.45, 0.55]; 0.46875, 0.53125 and both signs of 0.5 are
  // inside.
  const torch::Tensor weight = matrix({0.4375F, -0.46875F, 0.5F, -0.5F, 0.53125F, 0.5625F, 2.0F, 3.0F}, 2);
  ASSERT_EQ(weight.abs().mean().item<float>(), 1.0F);
  EXPECT_EQ(TernaryTelemetry().observe({{"w", weight}})[0].near_threshold, 4);
}

TEST(TernaryTelemetry, CountsWhatChanged) {
  torch::Tensor a = matrix({1, -1, 1, 0, 0, 1, -1, 1}, 2);
  const torch::Tensor b = matrix({1, 1, -1, 1}, 1);
  TernaryTelemetry telemetry;
  telemetry.observe({{"a", a}, {"b", b}});
  // One flips its sign, one goes to zero, two come from zero.
  a.copy_(matrix({-1, 0, 1, 1, -1, 1, -1, 1}, 2));
  auto layers = telemetry.observe({{"a", a}, {"b", b}});
  ASSERT_TRUE(layers[0].changes.has_value());
  EXPECT_EQ(layers[0].changes->sign_flips, 1);
  EXPECT_EQ(layers[0].changes->to_zero, 1);
  EXPECT_EQ(layers[0].changes->from_zero, 2);
  ASSERT_TRUE(layers[1].changes.has_value());
  EXPECT_EQ(layers[1].changes->total(), 0);
  const auto figures_of_all = shares(sum_of(layers));
  EXPECT_EQ(figures_of_all.at("changed"), 4 / 12.0);
  EXPECT_EQ(figures_of_all.at("sign_flips"), 1 / 12.0);
  EXPECT_EQ(figures_of_all.at("to_zero"), 1 / 12.0);
  EXPECT_EQ(figures_of_all.at("from_zero"), 2 / 12.0);
  EXPECT_EQ(figures_of_all.count("scale"), 0U);
  // Each observation is compared with the one before, not with the first.
  layers = telemetry.observe({{"a", a}});
  EXPECT_EQ(layers[0].changes->total(), 0);
}

TEST(TernaryTelemetry, ANewLayerHasNoChanges) {
  const torch::Tensor a = matrix({1, -1}, 1);
  TernaryTelemetry telemetry;
  telemetry.observe({{"a", a}});
  const auto layers = telemetry.observe({{"a", a}, {"b", a}});
  EXPECT_TRUE(layers[0].changes.has_value());
  EXPECT_FALSE(layers[1].changes.has_value());
  EXPECT_FALSE(sum_of(layers).changes.has_value());
  const Json json = telemetry_json(layers);
  EXPECT_TRUE(json["a"].contains("changed"));
  EXPECT_FALSE(json["b"].contains("changed"));
  EXPECT_FALSE(json["all"].contains("changed"));
  EXPECT_EQ(json["all"]["plus"], 0.5);
}

TEST(TernaryTelemetry, CountsTheCodesThatExportPacks) {
  torch::manual_seed(1);
  const torch::Tensor weight = torch::randn({37, 53});
  const auto count = static_cast<size_t>(weight.numel());
  std::vector<int8_t> codes(count);
  quantize_absmean({weight.data_ptr<float>(), count}, codes);
  // A transposed view, a double and a leaf that wants gradients are read by their values.
  for (const torch::Tensor& same :
       {weight, weight.t().contiguous().t(), weight.to(torch::kFloat64), weight.clone().requires_grad_()}) {
    const LayerTelemetry layer = TernaryTelemetry().observe({{"w", same}})[0];
    EXPECT_EQ(layer.minus, std::count(codes.begin(), codes.end(), -1));
    EXPECT_EQ(layer.zero, std::count(codes.begin(), codes.end(), 0));
    EXPECT_EQ(layer.plus, std::count(codes.begin(), codes.end(), 1));
  }
}

TEST(TernaryTelemetry, EdgeCases) {
  TernaryTelemetry telemetry;
  EXPECT_TRUE(telemetry.observe({}).empty());
  EXPECT_EQ(telemetry_json({}), Json::object());
  const LayerTelemetry zeros = telemetry.observe({{"zeros", torch::zeros({3, 4})}})[0];
  EXPECT_EQ(zeros.zero, 12);
  EXPECT_EQ(zeros.dead_rows, 3);
  EXPECT_EQ(zeros.near_threshold, 0);
  const LayerTelemetry empty = telemetry.observe({{"empty", torch::zeros({0, 4})}})[0];
  EXPECT_EQ(shares(empty).at("zero"), 0.0);
  const torch::Tensor bad = matrix({1.0F, std::numeric_limits<float>::quiet_NaN()}, 1);
  test::expect_error([&] { telemetry.observe({{"layers.3.weight", bad}}); }, {"layers.3.weight"});
}

TEST(TernaryLatents, AreTheTernaryLayersOfAModule) {
  const TernaryMlp model(test::small_mlp());
  const auto latents = ternary_latents(*model);
  ASSERT_FALSE(latents.empty());
  const auto parameters = model->named_parameters();
  for (const auto& [name, tensor] : latents) {
    ASSERT_NE(parameters.find(name), nullptr) << name;
    EXPECT_TRUE(tensor.is_same(parameters[name]));
    EXPECT_EQ(tensor.dim(), 2);
  }
  const TernaryMlp twin(test::small_mlp(Activation::relu, Quantization::none));
  EXPECT_TRUE(ternary_latents(*twin).empty());
}

}  // namespace
}  // namespace rotor::train
