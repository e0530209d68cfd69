// Training and runtime agree: module, checkpoint, export and packed model on the same images.
#include <gtest/gtest.h>

#include "export/convert.h"
#include "rotor/core/error.h"
#include "rotor/core/tiles.h"
#include "tests/seam/seam.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"
#include "train/models/parameters.h"

namespace rotor::train {
namespace {

class SeamTest : public ::testing::TestWithParam<std::pair<Activation, Quantization>> {};

INSTANTIATE_TEST_SUITE_P(Kinds, SeamTest, ::testing::ValuesIn(test::mlp_kinds()),
                         [](const auto& param) { return test::kind_name(param.param); });

TEST_P(SeamTest, PackedModelGivesTheSameClasses) {
  const test::TempDir dir;
  test::write_idx_dataset(dir.path(), 1, 2000);
  const IdxDataset data = load_idx(dir.path(), IdxSplit::test);
  torch::manual_seed(5);
  TernaryMlp module(test::small_mlp(GetParam().first, GetParam().second));
  save_parameters(*module, module->config(), dir.path());
  exporting::export_rotor(Checkpoint(dir.path()), dir.file("m.rotor"), {}, [](const auto&) {});
  const RotorFile file(dir.file("m.rotor"));
  const runtime::Classifier packed(file);
  const auto backend = runtime::make_backend();
  const auto report = test::compare_seam(module, packed, *backend, data);
  EXPECT_EQ(report.images, 2000);
  EXPECT_TRUE(test::acceptable(report, 2)) << test::describe(report);
  EXPECT_LT(report.largest_logit_difference, 1e-4);
}

TEST(Seam, DetectsADifferentModel) {
  // What the check is for: one wrong scale, and one wrong weight, must not pass as rounding.
  const test::TempDir dir;
  test::write_idx_dataset(dir.path(), 1, 500);
  const IdxDataset data = load_idx(dir.path(), IdxSplit::test);
  torch::manual_seed(5);
  ModelConfig config = test::small_mlp();
  TernaryMlp module(config);
  save_parameters(*module, config, dir.path());
  exporting::export_rotor(Checkpoint(dir.path()), dir.file("m.rotor"), {}, [](const auto&) {});
  const RotorFile file(dir.file("m.rotor"));
  const runtime::Classifier packed(file);
  const auto backend = runtime::make_backend();
  {
    const torch::NoGradGuard no_grad;
    module->named_parameters()["layers.1.linear.weight"][3][4] = 9.0;
  }
  EXPECT_FALSE(test::acceptable(test::compare_seam(module, packed, *backend, data), 2));
  EXPECT_FALSE(test::acceptable(test::compare_seam(module, packed, *backend, {0, 8, 8, {}, {}}), 2))
      << "no images";
  config.mlp.layer_sizes[1] = 38;
  TernaryMlp other(config);
  test::expect_error([&] { test::compare_seam(other, packed, *backend, data); },
                     {"different configurations"});
}

TEST(Seam, DetectsAScaleThatIsOff) {
  // The last layer's scale changes no class, only the logits.
  const test::TempDir dir;
  test::write_idx_dataset(dir.path(), 1, 100);
  const IdxDataset data = load_idx(dir.path(), IdxSplit::test);
  TernaryMlp module(test::small_mlp(Activation::relu, Quantization::ternary, false));
  save_parameters(*module, module->config(), dir.path());
  exporting::export_rotor(Checkpoint(dir.path()), dir.file("m.rotor"), {}, [](const auto&) {});
  const RotorFile file(dir.file("m.rotor"));
  const runtime::Classifier packed(file);
  const auto backend = runtime::make_backend();
  {
    const torch::NoGradGuard no_grad;
    module->named_parameters()["layers.2.linear.weight"].mul_(1.01);
  }
  const auto report = test::compare_seam(module, packed, *backend, data);
  EXPECT_TRUE(report.differing_images.empty());
  EXPECT_FALSE(test::acceptable(report, 2));
}

}  // namespace
}  // namespace rotor::train
