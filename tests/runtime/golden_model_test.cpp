// The model inside the program is that of tests/golden/bitnet-tiny, and so is what it is held against.
#include "runtime/cli/golden_model/golden_model.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "export/convert.h"
#include "rotor/formats/rotor_file.h"
#include "tests/support/golden.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime::cli {
namespace {

TEST(GoldenModel, IsTheExportedCheckpoint) {
  const test::TempDir dir;
  test::write_golden_transformer(dir.file("checkpoint"), "packed");
  exporting::export_rotor(Checkpoint(dir.file("checkpoint")), dir.file("m.rotor"), {.head = DenseType::f16},
                          [](const auto&) {});
  const GoldenModel model;
  const RotorFile found(model.path());
  const RotorFile expected(dir.file("m.rotor"));
  EXPECT_TRUE(found.verify().empty());
  ASSERT_EQ(found.container().tensors().size(), expected.container().tensors().size());
  for (const TensorInfo& tensor : expected.container().tensors()) {
    EXPECT_TRUE(std::ranges::equal(found.container().bytes(found.container().at(tensor.name)),
                                   expected.container().bytes(tensor)))
        << tensor.name;
  }
  const std::string config = "rotor.config";
  EXPECT_EQ(found.container().metadata().at(config), expected.container().metadata().at(config));
}

TEST(GoldenModel, IsHeldAgainstTheReference) {
  const auto golden = test::open_golden("bitnet-tiny/expected.safetensors");
  const auto& continuations = golden_continuations();
  ASSERT_EQ(continuations.size(), 3U);
  for (size_t k = 0; k < 3; ++k) {
    const std::string number = std::to_string(k);
    const auto same_ids = [&](const std::string& name, const std::vector<text::TokenId>& ids) {
      const auto expected = golden.read<int64_t>(name);
      EXPECT_TRUE(std::equal(ids.begin(), ids.end(), expected.begin(), expected.end())) << name;
    };
    same_ids("prompt." + number + ".ids", continuations[k].prompt);
    same_ids("packed.f32.greedy." + number, continuations[k].greedy);
    const auto margins = golden.read<float>("packed.f32.greedy_margin." + number);
    ASSERT_EQ(margins.size(), 16U);
    ASSERT_EQ(continuations[k].margins.size(), k == 1 ? 6U : 16U);
    for (size_t i = 0; i < continuations[k].margins.size(); ++i) {
      EXPECT_NEAR(continuations[k].margins[i], margins[i], 1e-5F) << k << " " << i;
    }
  }
}

}  // namespace
}  // namespace rotor::runtime::cli
