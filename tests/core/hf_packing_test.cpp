// The Hugging Face 2-bit layout against transformers' own packing.
#include "rotor/core/hf_packing.h"

#include <gtest/gtest.h>

#include "rotor/core/error.h"
#include "rotor/core/tiles.h"
#include "tests/support/golden.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace rotor {
namespace {

TEST(HfPacking, AgreesWithGolden) {
  const auto golden = test::open_golden("primitives/pack.safetensors");
  const auto cases = test::golden_cases(golden, "codes");
  ASSERT_EQ(cases.size(), 12U);  // doc_example has no codes of its own: below
  for (const std::string& name : cases) {
    SCOPED_TRACE(name);
    const auto shape = golden.at(name + ".codes").shape;
    const auto rows = static_cast<size_t>(shape[0]);
    const auto cols = static_cast<size_t>(shape[1]);
    const auto codes = golden.read<int8_t>(name + ".codes");
    const auto expected = golden.read<uint8_t>(name + ".packed");
    std::vector<uint8_t> packed(hf_packed_rows(rows) * cols);
    hf_pack(codes, rows, cols, packed);
    EXPECT_EQ(packed, expected);
    std::vector<int8_t> back(codes.size());
    hf_unpack(expected, rows, cols, back);
    EXPECT_EQ(back, codes);
  }
}

TEST(HfPacking, UnpacksTheDocumentationExample) {
  const auto golden = test::open_golden("primitives/pack.safetensors");
  const auto packed = golden.read<uint8_t>("doc_example.packed");
  const auto expected = golden.read<int8_t>("doc_example.unpacked");
  std::vector<int8_t> values(expected.size());
  hf_unpack(packed, 8, 2, values);
  EXPECT_EQ(values, expected);
}

TEST(HfPacking, RefusesCodeThreeAndOtherValues) {
  std::vector<int8_t> values(8 * 3);
  std::vector<uint8_t> packed(2 * 3, 0b01010101);
  packed[3 + 1] = 0b01011101;  // byte row 1, column 1, code 1: row 1 * 2 + 1
  test::expect_error([&] { hf_unpack(packed, 8, 3, values); }, {"row 3, column 1", "found 3"});
  values[4] = 7;
  test::expect_error([&] { hf_pack(values, 8, 3, packed); }, {"row 1, column 1", "found 7"});
}

// Straight into tiles is the same as by way of values.
TEST(HfPacking, TilesRowsAtOnce) {
  test::Random random(3);
  for (const size_t rows : {1, 3, 16, 17, 64, 70}) {
    for (const size_t cols : {1, 31, 32, 33, 100}) {
      const auto values = random.trits(rows * cols);
      std::vector<uint8_t> packed(hf_packed_rows(rows) * cols);
      hf_pack(values, rows, cols, packed);
      for (size_t first = 0; first < rows; first += kTileRows) {
        for (const size_t count : {size_t{1}, size_t{16}, rows - first}) {
          if (first + count > rows) continue;
          SCOPED_TRACE(cat(rows, " x ", cols, ", rows ", first, " to ", first + count));
          std::vector<uint8_t> expected(tile_bytes(count, cols));
          pack_tiles(std::span(values).subspan(first * cols, count * cols), count, cols, expected);
          std::vector<uint8_t> found(expected.size(), 0xFF);
          hf_tile_rows(packed, rows, cols, first, count, found);
          ASSERT_EQ(found, expected);
        }
      }
    }
  }
  std::vector<uint8_t> packed(16 * 40, 0b01010101);
  packed[3 * 40 + 37] = 0b01110101;  // byte row 3, column 37, code 2: row 2 * 16 + 3
  std::vector<uint8_t> tiles(tile_bytes(16, 40));
  hf_tile_rows(packed, 64, 40, 16, 16, tiles);
  test::expect_error([&] { hf_tile_rows(packed, 64, 40, 32, 16, tiles); }, {"row 35, column 37", "found 3"});
}

TEST(HfPacking, CodesPastTheLastRowAreIgnored) {
  std::vector<uint8_t> packed = {0b11010110,
                                 0b11111001};  // 5 rows: R = 2, rows 0 2 4 in byte row 0, 1 3 in byte row 1
  std::vector<int8_t> values(5);
  hf_unpack(packed, 5, 1, values);
  EXPECT_EQ(values, (std::vector<int8_t>{1, 0, 0, 1, 0}));
}

}  // namespace
}  // namespace rotor
