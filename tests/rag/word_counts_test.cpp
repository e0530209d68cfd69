#include "runtime/rag/sqlite/word_counts.h"

#include <gtest/gtest.h>

namespace rotor::runtime::rag {
namespace {

TEST(WordCounts, CommonWordsAreCountedOnceInAState) {
  WordCounts counts;
  int counted = 0;
  const auto count = [&](int64_t generation, const std::string& word, int64_t chunks) {
    return counts.get(generation, word, [&] {
      ++counted;
      return chunks;
    });
  };
  EXPECT_EQ(count(1, "the", 5000), 5000);
  EXPECT_EQ(count(1, "the", 0), 5000);
  EXPECT_EQ(counted, 1);
  EXPECT_EQ(count(1, "bee", 7), 7);
  EXPECT_EQ(count(1, "bee", 8), 8) << "rare ones are counted again";
  EXPECT_EQ(count(2, "the", 6000), 6000);
  EXPECT_EQ(count(2, "the", 0), 6000);
  EXPECT_EQ(count(1, "the", 5000), 5000) << "a snapshot of before";
  EXPECT_EQ(count(2, "the", 0), 6000);
  EXPECT_EQ(count(2, "and", 2000), 2000);
  EXPECT_EQ(count(3, "the", 7000), 7000);
  EXPECT_EQ(count(3, "and", 3000), 3000) << "counted in an older state, and not since";
}

}  // namespace
}  // namespace rotor::runtime::rag
