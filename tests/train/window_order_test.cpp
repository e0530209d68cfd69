// Draws and permutations.
#include "train/data/window_order.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

namespace rotor::train {
namespace {

TEST(RandomStart, IsUniformAndAFunctionOfItsArguments) {
  EXPECT_EQ(random_start(1, 2, 3, 1'000'000), random_start(1, 2, 3, 1'000'000));
  std::set<int64_t> seen;
  for (uint64_t seed = 0; seed < 5; ++seed) {
    for (int64_t step = 0; step < 5; ++step) {
      for (int64_t row = 0; row < 5; ++row) seen.insert(random_start(seed, step, row, int64_t{1} << 60));
    }
  }
  EXPECT_EQ(seen.size(), 125U);
  std::vector<int> counts(10);
  for (int64_t step = 0; step < 1000; ++step) {
    for (int64_t row = 0; row < 10; ++row) ++counts[static_cast<size_t>(random_start(7, step, row, 10))];
  }
  // 10,000 draws into 10 places: mean 1000, standard deviation 30.
  for (const int count : counts) EXPECT_NEAR(count, 1000, 5 * 30);
}

TEST(ShuffledIndex, IsAPermutationOfAnySize) {
  for (const int64_t count : {1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 1000, 4096, 4097}) {
    std::set<int64_t> seen;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t place = shuffled_index(3, 1, i, count);
      EXPECT_GE(place, 0);
      EXPECT_LT(place, count);
      seen.insert(place);
    }
    EXPECT_EQ(static_cast<int64_t>(seen.size()), count);
  }
  const int64_t huge = (int64_t{1} << 40) + 1;
  EXPECT_LT(shuffled_index(3, 1, huge - 1, huge), huge);
}

TEST(ShuffledIndex, DependsOnSeedAndEpochAndSpreadsEvenly) {
  const auto order = [](uint64_t seed, int64_t epoch) {
    std::vector<int64_t> places;
    for (int64_t i = 0; i < 100; ++i) places.push_back(shuffled_index(seed, epoch, i, 100));
    return places;
  };
  EXPECT_EQ(order(1, 0), order(1, 0));
  EXPECT_NE(order(1, 0), order(1, 1));
  EXPECT_NE(order(1, 0), order(2, 0));
  // Where each of 5 elements lands over 5000 seeds: 1000 times in each place, standard deviation 28.
  for (int64_t element = 0; element < 5; ++element) {
    std::vector<int> counts(5);
    for (uint64_t seed = 0; seed < 5000; ++seed) {
      ++counts[static_cast<size_t>(shuffled_index(seed, 0, element, 5))];
    }
    for (const int count : counts) EXPECT_NEAR(count, 1000, 5 * 28) << "element " << element;
  }
  // Neighbours do not stay neighbours: the mean distance of a random permutation is a third of its size.
  double distance = 0;
  for (int64_t i = 0; i + 1 < 10'000; ++i) {
    distance +=
        std::abs(static_cast<double>(shuffled_index(1, 0, i + 1, 10'000) - shuffled_index(1, 0, i, 10'000)));
  }
  EXPECT_NEAR(distance / 1e8, 1.0 / 3, 0.02);
}

}  // namespace
}  // namespace rotor::train
