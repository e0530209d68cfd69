// A .rotor file as a source gives back what was written into it, by any pieces of rows.
#include "rotor/formats/rotor_source.h"

#include <gtest/gtest.h>

#include "rotor/core/error.h"
#include "rotor/core/tiles.h"
#include "rotor/formats/checkpoint.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"

namespace rotor {
namespace {

using test::TempDir;

TEST(RotorSource, GivesEveryPieceOfEveryTensor) {
  const TempDir dir;
  for (const DenseType head : {DenseType::f32, DenseType::f16, DenseType::q8}) {
    SCOPED_TRACE(name(head));
    test::write_random_model(dir.file("m.rotor"), test::small_transformer("llama"), 1, head);
    const RotorSource source(dir.file("m.rotor"));
    EXPECT_EQ(source.format(), cat("rotor, head ", name(head)));
    EXPECT_FALSE(source.has_masters());
    for (const TensorSpec& spec : tensor_table(source.config())) {
      SCOPED_TRACE(spec.name);
      const auto rows = static_cast<size_t>(spec.shape[0]);
      const size_t cols = spec.shape.size() == 2 ? static_cast<size_t>(spec.shape[1]) : 1;
      if (!is_ternary(source.config(), spec)) {
        const std::vector<float> whole = source.tensor(spec);
        std::vector<float> row(cols);
        for (size_t r = 0; r < rows; ++r) {
          source.read_floats(spec, static_cast<int64_t>(r), 1, row);
          ASSERT_EQ(row, std::vector(whole.begin() + static_cast<std::ptrdiff_t>(r * cols),
                                     whole.begin() + static_cast<std::ptrdiff_t>((r + 1) * cols)));
        }
        continue;
      }
      const TernaryMatrix matrix = source.file().ternary(spec.name);
      EXPECT_EQ(source.scale(spec), matrix.scale);
      std::vector<int8_t> whole(rows * cols);
      unpack_tiles(matrix.tiles, rows, cols, whole);
      for (size_t first = 0; first < rows; ++first) {
        for (const size_t count : {size_t{1}, size_t{15}, size_t{16}, size_t{17}, rows - first}) {
          if (first + count > rows) continue;
          std::vector<int8_t> piece(count * cols);
          source.read_trits(spec, static_cast<int64_t>(first), static_cast<int64_t>(count), piece);
          ASSERT_TRUE(std::equal(piece.begin(), piece.end(),
                                 whole.begin() + static_cast<std::ptrdiff_t>(first * cols)))
              << "rows " << first << " to " << first + count;
        }
      }
    }
  }
}

TEST(RotorSource, HeadsComeBackAsTheyAreKept) {
  const TempDir dir;
  test::write_random_checkpoint(dir.file("c"), test::small_transformer());
  const Checkpoint checkpoint(dir.file("c"));
  test::write_random_model(dir.file("f32.rotor"), test::small_transformer(), 1, DenseType::f32);
  const RotorSource source(dir.file("f32.rotor"));
  const TensorSpec spec = tensor_table(source.config()).front();
  EXPECT_EQ(source.tensor(spec), checkpoint.tensor(spec.name)) << "the same seed wrote both";
}

TEST(RotorSource, DamageIsFoundBeforeAnythingIsMadeOfIt) {
  const TempDir dir;
  test::write_random_model(dir.file("m.rotor"), test::small_transformer());
  std::string bytes = test::read_bytes(dir.file("m.rotor"));
  bytes[bytes.size() - 100] ^= 1;
  test::write_bytes(dir.file("m.rotor"), bytes);
  test::expect_error([&] { RotorSource source(dir.file("m.rotor")); }, {"m.rotor", "checksum"});
}

}  // namespace
}  // namespace rotor
