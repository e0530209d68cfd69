// Ternary vectors: exhaustive where small, and the order of bits.
#include "rotor/core/planes.h"

#include <gtest/gtest.h>

#include "rotor/core/error.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace rotor {
namespace {

TEST(PlaneBit, IsThePermutationOfTheFormat) {
  EXPECT_EQ(plane_bit(0), 0U);
  EXPECT_EQ(plane_bit(1), 8U);
  EXPECT_EQ(plane_bit(3), 24U);
  EXPECT_EQ(plane_bit(4), 1U);
  EXPECT_EQ(plane_bit(31), 31U);
  uint32_t all = 0;
  for (size_t c = 0; c < kWordColumns; ++c) all |= uint32_t{1} << plane_bit(c);
  EXPECT_EQ(all, 0xFFFFFFFFU);
}

TEST(EncodeTrits, EveryShortVector) {
  // All 3^7 vectors of length 7, and through them every prefix.
  for (int code = 0; code < 2187; ++code) {
    std::vector<int8_t> values;
    for (int i = 0, rest = code; i < 7; ++i, rest /= 3) values.push_back(static_cast<int8_t>(rest % 3 - 1));
    const TernaryVector vector = encode_trits(values);
    ASSERT_EQ(vector.plus.size(), 1U);
    for (size_t i = 0; i < 7; ++i) {
      EXPECT_EQ(vector.plus[0] >> plane_bit(i) & 1, values[i] == 1);
      EXPECT_EQ(vector.minus[0] >> plane_bit(i) & 1, values[i] == -1);
    }
    EXPECT_EQ(decode_trits(vector), values);
  }
}

TEST(EncodeTrits, RoundTripsAtEverySizeAroundAWord) {
  test::Random random;
  for (const size_t size : {0, 1, 31, 32, 33, 63, 64, 65, 1000}) {
    const auto values = random.trits(size);
    const TernaryVector vector = encode_trits(values);
    EXPECT_EQ(vector.plus.size(), plane_words(size));
    EXPECT_EQ(decode_trits(vector), values);
  }
}

TEST(EncodeTrits, NamesTheFirstBadValue) {
  const std::vector<int8_t> values = {0, 1, -1, 2, -2};
  test::expect_error([&] { encode_trits(values); }, {"value 3", "found 2"});
}

TEST(DecodeTrits, NamesTheFirstPairOfOnes) {
  TernaryVector vector(40);
  vector.plus[1] = vector.minus[1] = uint32_t{1} << plane_bit(5);
  test::expect_error([&] { decode_trits(vector); }, {"value 37", "11"});
}

}  // namespace
}  // namespace rotor
