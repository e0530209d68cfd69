// Schedules as formulas, and which parameters decay.
#include "train/trainer/optimizer.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <filesystem>

#include "tests/support/models.h"
#include "tests/support/temp_dir.h"
#include "train/models/ternary_mlp.h"
#include "train/models/transformer.h"
#include "train/trainer/lean_adam.h"
#include "train/trainer/optimizer_state.h"
#include "train/trainer/schedule.h"

namespace rotor::train {
namespace {

TEST(LearningRate, WarmsUpAndDecays) {
  OptimizerConfig config;
  config.learning_rate = 1.0;
  config.warmup_steps = 10;
  config.final_learning_rate = 0.1;
  for (const ScheduleKind kind : {ScheduleKind::constant, ScheduleKind::linear, ScheduleKind::cosine}) {
    config.schedule = kind;
    EXPECT_DOUBLE_EQ(learning_rate_at(config, 0, 110), 0.1);
    EXPECT_DOUBLE_EQ(learning_rate_at(config, 9, 110), 1.0);
    EXPECT_DOUBLE_EQ(learning_rate_at(config, 10, 110), 1.0);
  }
  config.schedule = ScheduleKind::constant;
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 109, 110), 1.0);
  config.schedule = ScheduleKind::linear;
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 60, 110), 0.55);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 110, 110), 0.1);
  config.schedule = ScheduleKind::cosine;
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 60, 110), 0.55);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 35, 110), 0.1 + 0.9 * 0.5 * (1 + std::cos(M_PI / 4)));
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 110, 110), 0.1);
  config.warmup_steps = 200;  // longer than the run
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 109, 110), 0.55);
}

TEST(Schedule, TwoStagesHaveTwoPeaksAndDecayWeightsInTheFirst) {
  OptimizerConfig config;
  config.schedule = ScheduleKind::two_stage;
  config.learning_rate = 1.5;
  config.second_learning_rate = 1.0;
  config.weight_decay = 0.1;
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 0, 100), 1.5);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 40, 100), 1.5 * 0.6);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 50, 100), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 90, 100), 0.1);
  config.second_learning_rate = 0;  // two thirds of the first
  EXPECT_DOUBLE_EQ(learning_rate_at(config, 50, 100), 0.5);
  EXPECT_DOUBLE_EQ(weight_decay_at(config, 49, 100), 0.1);
  EXPECT_DOUBLE_EQ(weight_decay_at(config, 50, 100), 0.0);
  config.schedule = ScheduleKind::cosine;
  EXPECT_DOUBLE_EQ(weight_decay_at(config, 50, 100), 0.1);
}

TEST(Schedule, LayersBecomeTernaryByAndBy) {
  EXPECT_EQ(ternary_share_at(0, 0), 1.0);
  EXPECT_EQ(ternary_share_at(0, 8), 0.0);
  EXPECT_EQ(ternary_share_at(2, 8), 0.25);
  EXPECT_EQ(ternary_share_at(7, 8), 0.875);
  EXPECT_EQ(ternary_share_at(8, 8), 1.0);
}

TEST(Optimizer, DecaysMatricesOnly) {
  for (const OptimizerKind kind : {OptimizerKind::adam, OptimizerKind::adamw, OptimizerKind::sgd}) {
    TernaryMlp model(test::small_mlp());
    OptimizerConfig config;
    config.kind = kind;
    config.weight_decay = 0.5;
    const auto optimizer = make_optimizer(*model, config);
    ASSERT_EQ(optimizer->param_groups().size(), 2U);
    size_t parameters = 0;
    for (auto& group : optimizer->param_groups()) {
      for (const torch::Tensor& parameter : group.params()) {
        ++parameters;
        const double decay = kind == OptimizerKind::adam
                                 ? static_cast<torch::optim::AdamOptions&>(group.options()).weight_decay()
                             : kind == OptimizerKind::adamw
                                 ? static_cast<torch::optim::AdamWOptions&>(group.options()).weight_decay()
                                 : static_cast<torch::optim::SGDOptions&>(group.options()).weight_decay();
        EXPECT_EQ(decay, parameter.dim() == 2 ? 0.5 : 0.0);
      }
    }
    EXPECT_EQ(parameters, model->parameters().size());
    set_learning_rate(*optimizer, 0.125);
    for (auto& group : optimizer->param_groups()) EXPECT_EQ(group.options().get_lr(), 0.125);
  }
}

TEST(Optimizer, EmbeddingsAreNotDecayed) {
  Transformer model(test::small_transformer());
  OptimizerConfig config;
  config.weight_decay = 0.5;
  const auto optimizer = make_optimizer(*model, config);
  const torch::Tensor embedding = model->named_parameters()["model.embed_tokens.weight"];
  for (const torch::Tensor& parameter : optimizer->param_groups()[0].params()) {
    EXPECT_EQ(parameter.dim(), 2);
    EXPECT_FALSE(parameter.is_same(embedding));
  }
  set_weight_decay(*optimizer, config.kind, 0.0);
  EXPECT_EQ(static_cast<torch::optim::AdamWOptions&>(optimizer->param_groups()[0].options()).weight_decay(),
            0.0);
}

/// Steps a small module with each optimizer on the same gradients; gives the parameters.
std::vector<torch::Tensor> trained(const OptimizerConfig& config, int steps) {
  torch::manual_seed(1);
  TernaryMlp model(test::small_mlp());
  model->eval();
  const auto optimizer = make_optimizer(*model, config);
  for (int i = 0; i < steps; ++i) {
    optimizer->zero_grad();
    torch::manual_seed(i);
    for (const torch::Tensor& parameter : model->parameters())
      parameter.mutable_grad() = torch::randn_like(parameter);
    optimizer->step();
  }
  return model->parameters();
}

TEST(LeanAdam, StepsAsLibTorchDoes) {
  for (const OptimizerKind kind : {OptimizerKind::adam, OptimizerKind::adamw}) {
    const test::TempDir dir;
    OptimizerConfig config;
    config.kind = kind;
    config.learning_rate = 1e-2;
    config.weight_decay = 0.1;
    const auto expected = trained(config, 20);
    config.state_directory = dir.path();
    const auto found = trained(config, 20);
    config.state_directory.clear();
    config.bfloat16_state = true;
    const auto rounded = trained(config, 20);
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_TRUE(found[i].allclose(expected[i], 1e-5, 1e-6));
      // Moments of 8 bits: a step of 1e-2 is some 1e-4 off.
      EXPECT_TRUE(rounded[i].allclose(expected[i], 0.0, 5e-3));
      EXPECT_FALSE(rounded[i].equal(found[i]));
    }
    EXPECT_TRUE(std::filesystem::is_empty(dir.path())) << "the file has no name";
  }
}

TEST(LeanAdam, LibTorchsOperationsStepAsTheOnePassDoes) {
  torch::manual_seed(3);
  for (const bool decoupled : {true, false}) {
    torch::Tensor one = torch::randn({70000});
    torch::Tensor other = one.clone();
    const std::array first = {torch::zeros_like(one), torch::zeros_like(one)};
    const std::array second = {torch::zeros_like(one), torch::zeros_like(one)};
    for (int64_t step = 1; step <= 5; ++step) {
      const torch::Tensor gradient = torch::randn_like(one);
      const AdamStep how{.learning_rate = 1e-2, .weight_decay = 0.1, .decoupled = decoupled, .step = step};
      adam_step(one, gradient, first[0], second[0], how);
      adam_step_by_operations(other, gradient, first[1], second[1], how);
    }
    EXPECT_TRUE(one.allclose(other, 1e-5, 1e-6));
    EXPECT_TRUE(second[0].allclose(second[1], 1e-5, 1e-9));
  }
}

TEST(LeanAdam, SmallChangesOfAMomentAreNotLost) {
  // From 1 towards 2 by a thousandth of the way a step: below what a bfloat16 can tell from 1.
  const torch::Tensor parameter = torch::zeros({4096});
  const torch::Tensor gradient = torch::full({4096}, std::sqrt(2.0));
  const torch::Tensor first = torch::zeros({4096}, torch::kBFloat16);
  const torch::Tensor second = torch::ones({4096}, torch::kBFloat16);
  for (int64_t step = 1; step <= 1000; ++step) {
    adam_step(parameter, gradient, first, second, {.learning_rate = 1e-3, .step = step, .seed = 7});
  }
  EXPECT_NEAR(second.to(torch::kFloat32).mean().item<double>(), 2.0 - std::exp(-1.0), 0.01);
}

TEST(LeanAdam, ADirectoryThatIsNotThereIsAnError) {
  OptimizerConfig config;
  config.state_directory = "/nowhere/at/all";
  test::expect_error([&] { trained(config, 1); }, {"/nowhere/at/all", "optimizer's state"});
}

class OptimizerState : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Stores, OptimizerState, ::testing::Values("memory", "bfloat16", "disk"));

TEST_P(OptimizerState, RoundTripGivesTheSameNextStep) {
  for (const OptimizerKind kind : {OptimizerKind::adam, OptimizerKind::adamw, OptimizerKind::sgd}) {
    const test::TempDir dir;
    OptimizerConfig config;
    config.kind = kind;
    config.bfloat16_state = GetParam() == "bfloat16";
    if (GetParam() == "disk") config.state_directory = dir.path();
    torch::manual_seed(1);
    TernaryMlp a(test::small_mlp());
    torch::manual_seed(1);
    TernaryMlp b(test::small_mlp());
    const auto optimizer_a = make_optimizer(*a, config);
    const auto optimizer_b = make_optimizer(*b, config);
    const auto step = [](TernaryMlp& model, torch::optim::Optimizer& optimizer) {
      model->eval();
      optimizer.zero_grad();
      model->forward(torch::ones({2, 64})).square().sum().backward();
      optimizer.step();
    };
    save_optimizer(*optimizer_a, config, *a, 0, dir.file("fresh"));  // before any step: no tensors
    load_optimizer(*optimizer_b, config, *b, 0, dir.file("fresh"));
    for (int i = 0; i < 3; ++i) step(a, *optimizer_a);
    save_optimizer(*optimizer_a, config, *a, 3, dir.file("state"));
    {
      const torch::NoGradGuard no_grad;
      for (const auto& parameter : b->named_parameters())
        parameter->copy_(a->named_parameters()[parameter.key()]);
    }
    load_optimizer(*optimizer_b, config, *b, 3, dir.file("state"));
    save_optimizer(*optimizer_b, config, *b, 3, dir.file("again"));
    EXPECT_EQ(test::read_bytes(dir.file("state")), test::read_bytes(dir.file("again")));
    step(a, *optimizer_a);
    step(b, *optimizer_b);
    for (const auto& parameter : b->named_parameters()) {
      EXPECT_TRUE(torch::equal(parameter.value(), a->named_parameters()[parameter.key()])) << parameter.key();
    }
    ModelConfig other = test::small_mlp();
    other.mlp.layer_sizes[1] = 38;
    TernaryMlp c(other);
    const auto optimizer_c = make_optimizer(*c, config);
    test::expect_error([&] { load_optimizer(*optimizer_c, config, *c, 3, dir.file("state")); },
                       {"state", "expected shape"});
  }
}

}  // namespace
}  // namespace rotor::train
