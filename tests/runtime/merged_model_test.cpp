// Merging against adapters beside a base: the same for float models, and for ternary ones what rounding
// leaves.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "export/convert.h"
#include "export/merged_source.h"
#include "rotor/text/open_source.h"
#include "runtime/engine/language_model.h"
#include "tests/support/adapters.h"
#include "tests/support/logits.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime {
namespace {

class MergedModelTest : public ::testing::TestWithParam<std::string> {
 protected:
  /// Logits of the base with an adapter beside it, and of the merged model, both with float activations.
  struct Logits {
    std::vector<float> base, beside, merged;
  };
  static Logits compute(const ModelConfig& config) {
    const test::TempDir dir;
    test::write_random_checkpoint(dir.file("base"), config);
    test::write_random_model(dir.file("base.rotor"), config);
    test::write_random_adapter(dir.file("adapter"), config, 4);
    const exporting::MergedSource source(text::open_source(dir.file("base"), {}).model,
                                         {{std::make_shared<PeftAdapter>(dir.file("adapter")), 0.5F}});
    exporting::export_rotor(source, {}, dir.file("merged.rotor"), {.head = DenseType::f32},
                            [](const auto&) {});
    const auto logits = [](const std::string& path, const std::vector<AdapterChoice>& adapters) {
      const LanguageModel model(path, {.float_activations = true, .adapters = adapters});
      Session session = model.make_session({.kv = KvType::f32});
      return test::all_logits(session, {3, 1, 4, 1, 5, 9, 2, 6});
    };
    return {logits(dir.file("base.rotor"), {}), logits(dir.file("base.rotor"), {{dir.file("adapter"), 0.5F}}),
            logits(dir.file("merged.rotor"), {})};
  }
};

INSTANTIATE_TEST_SUITE_P(Types, MergedModelTest, ::testing::Values("bitnet", "llama", "qwen2"),
                         [](const auto& param) { return param.param; });

// (W + s B A) x and W x + s B (A x) differ by the rounding of float32 in sums of at most 72 products.
TEST_P(MergedModelTest, FloatModelsAreTheSame) {
  const Logits logits = compute(test::small_transformer(GetParam(), Quantization::none));
  double largest = 0.0;
  for (const float value : logits.beside) largest = std::max(largest, std::fabs(static_cast<double>(value)));
  EXPECT_LT(test::largest_difference(logits.beside, logits.merged), 1e-4 * largest);
  EXPECT_GT(test::largest_difference(logits.beside, logits.base), 0.05 * largest);
}

TEST_P(MergedModelTest, TernaryModelsAreRounded) {
  const Logits logits = compute(test::small_transformer(GetParam()));
  EXPECT_NE(logits.merged, logits.beside);
  EXPECT_NE(logits.merged, logits.base);
}

}  // namespace
}  // namespace rotor::runtime
