// Export: what stands in the .rotor file is what the quantizer says of the checkpoint.
#include "export/convert.h"

#include <gtest/gtest.h>

#include <cmath>

#include "rotor/core/error.h"
#include "rotor/core/quantize.h"
#include "rotor/formats/rotor_file.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"

namespace rotor::exporting {
namespace {

using test::TempDir;

TEST(ExportRotor, PacksEveryMatrixAndKeepsTheRest) {
  const TempDir dir;
  test::write_random_checkpoint(dir.file("c"), test::small_mlp());
  const Checkpoint checkpoint(dir.file("c"));
  std::vector<ExportedTensor> report;
  export_rotor(checkpoint, dir.file("m.rotor"), {},
               [&](const ExportedTensor& tensor) { report.push_back(tensor); });
  const RotorFile file(dir.file("m.rotor"));
  EXPECT_TRUE(file.verify().empty());
  ASSERT_EQ(report.size(), tensor_table(checkpoint.config()).size());
  for (const ExportedTensor& tensor : report) {
    SCOPED_TRACE(tensor.name);
    const std::vector<float> weights = checkpoint.tensor(tensor.name);
    if (!tensor.ternary) {
      const auto floats = file.floats(tensor.name);
      EXPECT_EQ(std::vector<float>(floats.begin(), floats.end()), weights);
      continue;
    }
    std::vector<int8_t> codes(weights.size());
    const float scale = quantize_absmean(weights, codes).scale;
    const TernaryMatrix matrix = file.ternary(tensor.name);
    EXPECT_EQ(matrix.scale, scale);
    std::vector<int8_t> packed(weights.size());
    unpack_tiles(matrix.tiles, static_cast<size_t>(matrix.rows), static_cast<size_t>(matrix.cols), packed);
    EXPECT_EQ(packed, codes);
    EXPECT_EQ(tensor.counts.total(), weights.size());
  }
}

TEST(ExportRotor, FloatTwinStaysFloat) {
  const TempDir dir;
  test::write_random_checkpoint(dir.file("c"), test::small_mlp(Activation::relu, Quantization::none));
  const Checkpoint checkpoint(dir.file("c"));
  export_rotor(checkpoint, dir.file("m.rotor"), {},
               [](const ExportedTensor& tensor) { EXPECT_FALSE(tensor.ternary); });
  const RotorFile file(dir.file("m.rotor"));
  EXPECT_TRUE(file.verify().empty());
  const auto floats = file.floats("layers.0.linear.weight");
  EXPECT_EQ(std::vector<float>(floats.begin(), floats.end()), checkpoint.tensor("layers.0.linear.weight"));
}

TEST(ExportRotor, NotFiniteWeightsAreRefusedAndNothingIsWritten) {
  const TempDir dir;
  std::filesystem::create_directories(dir.file("c"));
  std::vector<float> values;
  write_checkpoint(dir.file("c"), test::small_mlp(), [&](const TensorSpec& spec) -> std::span<const float> {
    size_t count = 1;
    for (const int64_t size : spec.shape) count *= static_cast<size_t>(size);
    values.assign(count, 1.0F);
    if (spec.name == "layers.1.linear.weight") values[3] = NAN;
    return values;
  });
  const Checkpoint checkpoint(dir.file("c"));
  test::expect_error([&] { export_rotor(checkpoint, dir.file("m.rotor"), {}, [](const auto&) {}); },
                     {"model.safetensors", "layers.1.linear.weight", "weight 3", "finite"});
  EXPECT_FALSE(std::filesystem::exists(dir.file("m.rotor")));
}

}  // namespace
}  // namespace rotor::exporting
