#include "runtime/rag/knowledge_base.h"

#include <gtest/gtest.h>

#include "rotor/core/error.h"
#include "tests/rag/rag_fixture.h"

namespace rotor::test {
namespace {

class BrokenEmbedder : public WordEmbedder {
 public:
  std::vector<float> embed(std::span<const std::string> texts,
                           const std::function<bool()>& keep_going) override {
    if (broken) fail("the embedder is gone");
    return WordEmbedder::embed(texts, keep_going);
  }
  bool broken = false;
};

class KnowledgeBaseTest : public BaseFixture {};

TEST_F(KnowledgeBaseTest, WhatCannotBeEmbeddedLeavesTheOldDocument) {
  create();
  const auto embedder = std::make_shared<BrokenEmbedder>();
  rag::KnowledgeBase base(open(), embedder);
  base.put(document_of("a", "Honey of old."));
  embedder->broken = true;
  expect_error([&] { base.put(document_of("a", "Honey of today.")); }, {"embedder is gone"});
  expect_error([&] { base.search("honey", {}); }, {"embedder is gone"});
  const auto found = base.search("honey", {.mode = rag::SearchMode::words});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].chunk.chunk.text, "Honey of old.");
}

TEST_F(KnowledgeBaseTest, MetadataAloneIsAChange) {
  create();
  const auto embedder = std::make_shared<WordEmbedder>();
  rag::KnowledgeBase base(open(), embedder);
  EXPECT_EQ(base.put(document_of("a", "Honey.", {{"year", 1}})), rag::PutResult::added);
  EXPECT_EQ(base.put(document_of("a", "Honey.", {{"year", 2}})), rag::PutResult::updated);
  EXPECT_EQ(base.put(document_of("a", "Honey.", {{"year", 2}})), rag::PutResult::unchanged);
  EXPECT_EQ(embedder->embedded, 1);
  EXPECT_EQ(base.search("honey", {.filter = {rag::parse_condition("year=2")}}).size(), 1U);
  EXPECT_TRUE(base.search("honey", {.filter = {rag::parse_condition("year=1")}}).empty());
}

TEST_F(KnowledgeBaseTest, HybridFindsWhatEitherFinds) {
  create("words", 512);
  rag::KnowledgeBase base(open(), std::make_shared<WordEmbedder>(512));
  base.put(document_of("stem", "Beekeepers harvested it all."));
  base.put(document_of("exact", "harvesting beekeeper"));
  base.put(document_of("other", "Cars need fuel."));
  const auto found = base.search("harvesting beekeeper", {.count = 3});
  EXPECT_EQ(ids_of(found).front(), "exact");
  EXPECT_EQ(ids_of(found)[1], "stem") << "found by its stems";
  EXPECT_TRUE(found[0].words && found[0].vectors);
  expect_error([&] { base.search("", {}); }, {"empty"});
}

TEST_F(KnowledgeBaseTest, VectorsOfAnotherWidthAreRefused) {
  create("words", 64);
  expect_error([&] { rag::KnowledgeBase(open(), std::make_shared<WordEmbedder>(65)); }, {path(), "64", "65"});
}

TEST_F(KnowledgeBaseTest, EmptyDocumentsAreKnown) {
  create();
  rag::KnowledgeBase base(open(), std::make_shared<WordEmbedder>());
  EXPECT_EQ(base.put(document_of("a", "")), rag::PutResult::added);
  EXPECT_EQ(base.store().snapshot()->documents({}, "", 10).size(), 1U);
  EXPECT_EQ(base.put(document_of("a", "Text.")), rag::PutResult::updated);
  EXPECT_EQ(base.put(document_of("a", "")), rag::PutResult::updated);
  EXPECT_TRUE(base.search("text", {.mode = rag::SearchMode::words}).empty());
}

}  // namespace
}  // namespace rotor::test
