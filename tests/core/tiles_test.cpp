// Tiles: the bytes of the format, round trips, faults and counts.
#include "rotor/core/tiles.h"

#include <gtest/gtest.h>

#include "rotor/core/error.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace rotor {
namespace {

std::vector<uint8_t> pack(const std::vector<int8_t>& weights, size_t rows, size_t cols) {
  std::vector<uint8_t> tiles(tile_bytes(rows, cols));
  pack_tiles(weights, rows, cols, tiles);
  return tiles;
}

TEST(PackTiles, PutsEachWeightWhereTheFormatSays) {
  // docs/file-format.md: byte address and bit of weight (r, c), computed here from the text alone.
  constexpr size_t kRows = 20;
  constexpr size_t kCols = 70;
  for (const auto& [row, col] : {std::pair{0, 0}, {0, 5}, {3, 31}, {15, 32}, {16, 0}, {19, 69}}) {
    for (const int value : {1, -1}) {
      std::vector<int8_t> weights(kRows * kCols);
      weights[static_cast<size_t>(row) * kCols + static_cast<size_t>(col)] = static_cast<int8_t>(value);
      const auto tiles = pack(weights, kRows, kCols);
      const int tile = row / 16 * 3 + col / 32;
      const int byte = tile * 128 + (value < 0 ? 64 : 0) + row % 16 * 4 + col % 4;
      const int bit = col % 32 / 4;
      for (size_t i = 0; i < tiles.size(); ++i) {
        EXPECT_EQ(tiles[i], std::cmp_equal(i, byte) ? 1 << bit : 0)
            << "row " << row << " col " << col << " byte " << i;
      }
    }
  }
}

TEST(PackTiles, RoundTripsAtEdges) {
  test::Random random;
  for (const size_t rows : {1, 15, 16, 17, 40}) {
    for (const size_t cols : {1, 31, 32, 33, 100}) {
      const auto weights = random.trits(rows * cols);
      const auto tiles = pack(weights, rows, cols);
      std::vector<int8_t> back(weights.size());
      unpack_tiles(tiles, rows, cols, back);
      EXPECT_EQ(back, weights) << rows << "x" << cols;
      EXPECT_FALSE(find_plane_fault(tiles, rows, cols).has_value());
    }
  }
}

TEST(PackTiles, NegatingSwapsThePlanes) {
  test::Random random(2);
  auto weights = random.trits(33 * 45);
  const auto tiles = pack(weights, 33, 45);
  for (int8_t& w : weights) w = static_cast<int8_t>(-w);
  const auto negated = pack(weights, 33, 45);
  for (size_t i = 0; i < tiles.size(); ++i) EXPECT_EQ(tiles[i], negated[i ^ 64]);
}

TEST(PackTiles, NamesTheFirstBadValue) {
  std::vector<int8_t> weights(4 * 5);
  weights[2 * 5 + 3] = -2;
  std::vector<uint8_t> tiles(tile_bytes(4, 5));
  test::expect_error([&] { pack_tiles(weights, 4, 5, tiles); }, {"row 2, column 3", "found -2"});
}

TEST(FindPlaneFaults, FindsEveryPairAndSaysWhere) {
  constexpr size_t kRows = 18;
  constexpr size_t kCols = 37;
  for (size_t row = 0; row < kRows; ++row) {
    for (size_t col = 0; col < kCols; ++col) {
      std::vector<uint8_t> tiles(tile_bytes(kRows, kCols));
      const size_t byte = (row / 16 * 2 + col / 32) * 128 + row % 16 * 4 + col % 4;
      tiles[byte] = tiles[byte + 64] = static_cast<uint8_t>(1 << (col % 32 / 4));
      const auto faults = find_plane_faults(tiles, kRows, kCols, 10);
      ASSERT_EQ(faults.size(), 1U);
      EXPECT_EQ(faults[0].kind, PlaneFault::Kind::both_bits);
      EXPECT_EQ(faults[0].row, row);
      EXPECT_EQ(faults[0].column, col);
    }
  }
}

TEST(FindPlaneFaults, FindsSetBitsOutsideTheMatrix) {
  std::vector<uint8_t> tiles(tile_bytes(18, 37));
  tiles[128 + 1] = 2;          // row 0, column 32 + 5: inside is up to column 36, so 37 is outside
  tiles[2 * 128 + 2 * 4] = 1;  // row 18, column 0: outside
  const auto faults = find_plane_faults(tiles, 18, 37, 10);
  ASSERT_EQ(faults.size(), 2U);
  EXPECT_EQ(faults[0].kind, PlaneFault::Kind::padding);
  EXPECT_EQ(faults[0].row, 0U);
  EXPECT_EQ(faults[0].column, 37U);
  EXPECT_EQ(faults[1].row, 18U);
  EXPECT_EQ(find_plane_faults(tiles, 18, 37, 1).size(), 1U);
}

TEST(CountTrits, AgreesWithCounting) {
  test::Random random(9);
  const auto weights = random.trits(35 * 50);
  TritCounts expected;
  for (const int8_t w : weights) ++(w < 0 ? expected.minus : w > 0 ? expected.plus : expected.zero);
  for (const TritCounts& counts : {count_trits(weights), count_trits(pack(weights, 35, 50), 35, 50)}) {
    EXPECT_EQ(counts.minus, expected.minus);
    EXPECT_EQ(counts.zero, expected.zero);
    EXPECT_EQ(counts.plus, expected.plus);
    EXPECT_EQ(counts.total(), weights.size());
    EXPECT_DOUBLE_EQ(counts.sparsity(),
                     static_cast<double>(expected.zero) / static_cast<double>(weights.size()));
  }
  EXPECT_EQ(TritCounts{}.sparsity(), 0.0);
}

}  // namespace
}  // namespace rotor
