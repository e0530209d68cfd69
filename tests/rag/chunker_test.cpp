#include "runtime/rag/chunker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "tests/rag/rag_fixture.h"

namespace rotor::test {
namespace {

using rag::Chunk;
using rag::ChunkOptions;

std::vector<Chunk> chunks_of(const std::string& text, ChunkOptions options = {}) {
  return rag::make_chunks(document_of("d", text), options, rag::estimate_tokens);
}

TEST(Chunker, SectionsStandUnderTheirHeadings) {
  const auto chunks =
      chunks_of("#Bees\n\nThey fly.\n\n##Queens\n\nOne a hive.\n\n##Drones\n\nThey wait.\n\n#Wasps\n\nNo.");
  ASSERT_EQ(chunks.size(), 4U);
  EXPECT_EQ(chunks[0].heading, "Bees");
  EXPECT_EQ(chunks[1].heading, "Bees > Queens");
  EXPECT_EQ(chunks[1].text, "One a hive.");
  EXPECT_EQ(chunks[1].place.line, 7);
  EXPECT_EQ(chunks[2].heading, "Bees > Drones");
  EXPECT_EQ(chunks[3].heading, "Wasps");
  EXPECT_EQ(rag::full_text(chunks[3]), "Wasps\nNo.");
}

TEST(Chunker, TheTitleStandsAboveAllHeadings) {
  rag::Document document = document_of("d", "Before.\n\n#Queens\n\nOne a hive.");
  document.title = "Bees";
  auto chunks = rag::make_chunks(document, {}, rag::estimate_tokens);
  ASSERT_EQ(chunks.size(), 2U);
  EXPECT_EQ(chunks[0].heading, "Bees");
  EXPECT_EQ(chunks[1].heading, "Bees > Queens");
  document.title = " Queens ";  // it says so itself
  chunks = rag::make_chunks(document, {}, rag::estimate_tokens);
  EXPECT_EQ(chunks[0].heading, "");
  EXPECT_EQ(chunks[1].heading, "Queens");
}

TEST(Chunker, ParagraphsThatFitStayTogether) {
  const auto chunks = chunks_of("One.\n\nTwo.\n\nThree.");
  ASSERT_EQ(chunks.size(), 1U);
  EXPECT_EQ(chunks[0].text, "One.\n\nTwo.\n\nThree.");
  EXPECT_EQ(chunks[0].tokens, rag::estimate_tokens(chunks[0].text));
}

TEST(Chunker, HeadingsWithNothingUnderThemAreTexts) {
  const auto chunks = chunks_of("#Outer\n\n##Empty\n\n##Full\n\nText.\n\n#Last");
  ASSERT_EQ(chunks.size(), 3U);
  EXPECT_EQ(chunks[0].text, "Outer > Empty");
  EXPECT_EQ(chunks[1].heading, "Outer > Full");
  EXPECT_EQ(chunks[2].text, "Last");
}

TEST(Chunker, LongTextIsCutBetweenSentencesWithAnOverlap) {
  std::string text;
  for (int i = 0; i < 60; ++i) text += "This is sentence number " + std::to_string(i) + ". ";
  const ChunkOptions options{.max_tokens = 64, .overlap_tokens = 16};
  const auto chunks = chunks_of("#Title\n\n" + text, options);
  ASSERT_GT(chunks.size(), 5U);
  for (size_t i = 0; i < chunks.size(); ++i) {
    EXPECT_LE(chunks[i].tokens, options.max_tokens);
    EXPECT_TRUE(chunks[i].text.starts_with("This is")) << chunks[i].text;
    EXPECT_TRUE(chunks[i].text.ends_with(".")) << chunks[i].text;
    if (i == 0) continue;
    // Its first sentence is the last but one or the last of the chunk before.
    const std::string first = chunks[i].text.substr(0, chunks[i].text.find('.') + 1);
    EXPECT_NE(chunks[i - 1].text.find(first), std::string::npos);
  }
}

TEST(Chunker, WordsAndCharactersAreCutWhereNoSentenceFits) {
  std::string one_sentence;
  for (int i = 0; i < 200; ++i) one_sentence += "word" + std::to_string(i) + " ";
  const ChunkOptions options{.max_tokens = 32, .overlap_tokens = 0};
  std::string joined;
  for (const Chunk& chunk : chunks_of(one_sentence, options)) {
    EXPECT_LE(chunk.tokens, 32);
    joined += chunk.text + " ";
  }
  EXPECT_EQ(joined, one_sentence);
  // 3,000 characters of three bytes without a blank; none is cut through.
  std::string script;
  for (int i = 0; i < 3000; ++i) script += "\u4e00";
  std::string all;
  for (const Chunk& chunk : chunks_of(script, options)) {
    EXPECT_LE(chunk.tokens, 32);
    EXPECT_EQ(chunk.text.size() % 3, 0U);
    all += chunk.text;
  }
  EXPECT_EQ(all, script);
}

TEST(Chunker, HeadingsThatTakeTooMuchAreLeftOut) {
  std::string heading = "#";
  for (int i = 0; i < 100; ++i) heading += "long ";
  const auto chunks = chunks_of(heading + "\n\n##Short\n\nText.", {.max_tokens = 32, .overlap_tokens = 0});
  ASSERT_FALSE(chunks.empty());
  EXPECT_EQ(chunks.back().heading, "Short");
  for (const Chunk& chunk : chunks) EXPECT_LE(chunk.tokens, 32) << chunk.heading;
}

TEST(Chunker, KeysAreOfContents) {
  const auto before = chunks_of("#A\n\nOne.\n\n#B\n\nTwo.\n\n#C\n\nThree.");
  const auto after = chunks_of("#New\n\nZero.\n\n#A\n\nOne.\n\n#B\n\nTwo, changed.\n\n#C\n\nThree.");
  EXPECT_EQ(after[1].key, before[0].key);
  EXPECT_NE(after[2].key, before[1].key);
  EXPECT_EQ(after[3].key, before[2].key);
  const auto same = chunks_of("#A\n\nOne.\n\n#A\n\nOne.");
  ASSERT_EQ(same.size(), 2U);
  EXPECT_NE(same[0].key, same[1].key);
  const auto other = rag::make_chunks(document_of("e", "#A\n\nOne."), {}, rag::estimate_tokens);
  EXPECT_NE(other[0].key, before[0].key) << "of another document";
}

TEST(Chunker, EveryWordIsInAChunkWhateverTheText) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::string text;
    std::set<std::string> words;
    const int pieces = static_cast<int>(random() % 80);
    for (int i = 0; i < pieces; ++i) {
      std::string word = "w" + std::to_string(random() % 100000);
      if (random() % 20 == 0) word += std::string(random() % 300, 'x');
      const char* const ends[] = {" ", " ", " ", ". ", "\n", "\n\n", "! "};
      if (random() % 15 == 0) text += "\n\n" + std::string(1 + random() % 3, '#');
      if (word.size() < 100) words.insert(word);
      text += word + ends[random() % 7];
    }
    const ChunkOptions options{.max_tokens = 16 + static_cast<int64_t>(random() % 50),
                               .overlap_tokens = static_cast<int64_t>(random() % 8)};
    std::string all;
    for (const Chunk& chunk : chunks_of(text, options)) {
      EXPECT_LE(chunk.tokens, options.max_tokens);
      EXPECT_FALSE(chunk.text.empty());
      all += " " + rag::full_text(chunk);
    }
    for (const std::string& word : words)
      EXPECT_NE(all.find(word), std::string::npos) << word << " of " << text;
  }
}

TEST(Chunker, OptionsThatCannotBeAreRefused) {
  expect_error([] { ChunkOptions{.max_tokens = 15}.validate(); }, {"at least 16", "15"});
  expect_error([] { ChunkOptions{.max_tokens = 64, .overlap_tokens = 33}.validate(); }, {"0 to 32", "33"});
  EXPECT_TRUE(chunks_of("").empty());
  EXPECT_TRUE(chunks_of("  \n \n").empty());
}

}  // namespace
}  // namespace rotor::test
