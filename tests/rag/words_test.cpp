#include "runtime/rag/words.h"

#include <gtest/gtest.h>

#include <map>

namespace rotor::runtime::rag {
namespace {

using Texts = std::vector<std::string>;

Texts told(const std::map<std::string, int64_t>& chunks) {
  std::vector<Word> words;
  for (const auto& [word, count] : chunks) words.push_back({word, word});
  Texts kept;
  for (const CountedWord& counted :
       telling_words(words, [&](const Word& word) { return chunks.at(word.indexed); })) {
    EXPECT_EQ(counted.chunks, chunks.at(counted.word.indexed));
    kept.push_back(counted.word.written);
  }
  return kept;
}

TEST(WordCutter, StemsInOrderWithoutAccents) {
  const WordCutter cutter;
  EXPECT_EQ(cutter.stems("Bees' HIVES, caf\xC3\xA9s: bee"), (Texts{"bee", "hive", "cafe", "bee"}));
  EXPECT_EQ(cutter.stems(""), Texts{});
  EXPECT_EQ(cutter.stems("\xFF ... \n"), Texts{});
}

TEST(WordCutter, AQuerysWordsOnceAsTheyStand) {
  const std::vector<Word> words = WordCutter().words("Hives and a hive");
  ASSERT_EQ(words.size(), 3U);
  EXPECT_EQ(words[2].indexed, "hive");
  EXPECT_EQ(words[2].written, "Hives");
}

TEST(TellingWords, RareOnesFirstAndUnknownOnesNot) {
  EXPECT_EQ(told({{"a", 5}, {"b", 0}, {"c", 1}}), (Texts{"c", "a"}));
  EXPECT_EQ(told({}), Texts{});
}

TEST(TellingWords, TheCommonestAreLeftOut) {
  EXPECT_EQ(told({{"a", kMostMatched - 30}, {"b", 10}, {"c", 10}, {"d", 10}}), (Texts{"b", "c", "d", "a"}));
  EXPECT_EQ(told({{"a", kMostMatched - 29}, {"b", 10}, {"c", 10}, {"d", 10}}), (Texts{"b", "c", "d"}));
  EXPECT_EQ(told({{"a", kMostMatched}, {"b", kMostMatched}, {"c", kMostMatched}, {"d", kMostMatched}}),
            (Texts{"a", "b", "c"}))
      << "three are always kept";
}

}  // namespace
}  // namespace rotor::runtime::rag
