// The Hugging Face 2-bit layout against transformers' own packing.
#include "rotor/core/hf_packing.h"

#include <gtest/gtest.h>

#include "rotor/core/error.h"
#include "rotor/core/tiles.h"
#include "tests/support/golden.h"
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

TEST(HfPacking, CodesPastTheLastRowAreIgnored) {
  std::vector<uint8_t> packed = {0b11010110,
                                 0b11111001};  // 5 rows: R = 2, rows 0 2 4 in byte row 0, 1 3 in byte row 1
  std::vector<int8_t> values(5);
  hf_unpack(packed, 5, 1, values);
  EXPECT_EQ(values, (std::vector<int8_t>{1, 0, 0, 1, 0}));
}

}  // namespace
}  // namespace rotor
