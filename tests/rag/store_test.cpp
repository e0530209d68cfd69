// What every store does, whatever it is made of.
#include "runtime/rag/store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <set>
#include <thread>

#include "tests/rag/rag_fixture.h"

namespace rotor::test {
namespace {

using rag::Hit;
using rag::parse_condition;

class StoreTest : public BaseFixture {
 protected:
  StoreTest() {
    create();
    store_ = open();
    base_ = std::make_unique<rag::KnowledgeBase>(store_, embedder_);
  }

  rag::PutResult put(const std::string& id, const std::string& text, const Json& metadata = Json::object()) {
    return base_->put(document_of(id, text, metadata));
  }
  std::vector<std::string> words(const std::string& query, const rag::Filter& filter = {}) {
    const auto snapshot = store_->snapshot();
    return ids(*snapshot, snapshot->match_words(query, 10, filter));
  }
  std::vector<std::string> vectors(const std::string& query, const rag::Filter& filter = {}) {
    const auto vector = embedder_->embed(std::vector<std::string>{query}, {});
    const auto snapshot = store_->snapshot();
    return ids(*snapshot, snapshot->match_vector(vector, 10, filter));
  }
  static std::vector<std::string> ids(rag::Snapshot& snapshot, const std::vector<Hit>& hits) {
    std::vector<int64_t> chunks;
    for (const Hit& hit : hits) chunks.push_back(hit.chunk);
    for (size_t i = 1; i < hits.size(); ++i) EXPECT_GE(hits[i - 1].score, hits[i].score);
    std::vector<std::string> found;
    for (const rag::StoredChunk& chunk : snapshot.chunks(chunks)) found.push_back(chunk.document.id);
    return found;
  }

  std::shared_ptr<WordEmbedder> embedder_ = std::make_shared<WordEmbedder>();
  std::shared_ptr<rag::Store> store_;
  std::unique_ptr<rag::KnowledgeBase> base_;
};

using Ids = std::vector<std::string>;

using NewStoreTest = BaseFixture;

TEST_F(NewStoreTest, RemembersWhatWasDecided) {
  create("some model", 12, {.max_tokens = 99, .overlap_tokens = 9});
  const auto store = open();
  EXPECT_EQ(store->config().embedder, "some model");
  EXPECT_EQ(store->config().dimensions, 12);
  EXPECT_EQ(store->config().chunks.max_tokens, 99);
  EXPECT_EQ(store->config().chunks.overlap_tokens, 9);
  EXPECT_EQ(store->name(), path());
}

TEST_F(StoreTest, FindsByWordsAndByVectors) {
  put("bees", "Bees make honey in a hive.");
  put("bears", "Bears eat honey.");
  put("cars", "Cars need fuel.");
  EXPECT_EQ(words("hive"), Ids{"bees"});
  EXPECT_EQ(words("honey eat"), (Ids{"bears", "bees"}));
  EXPECT_EQ(words("HONEYS").size(), 2U) << "stems, whatever the case";
  EXPECT_EQ(words("nothing like it"), Ids{});
  EXPECT_EQ(vectors("Cars need fuel.").front(), "cars");
  EXPECT_EQ(vectors("Cars need fuel.").size(), 3U);
}

TEST_F(StoreTest, QueriesAreWordsWhateverIsInThem) {
  put("a", "Quotes and brackets: NEAR the end.");
  for (const char* query : {"\"quotes\" AND (", "near(", "*", "heading:quotes", "^end", "a\"b", "' OR 1=1 --",
                            "-end", "\xff\xfe", ""}) {
    EXPECT_NO_THROW(words(query)) << query;
  }
  EXPECT_EQ(words("brackets OR"), Ids{"a"});
}

TEST_F(StoreTest, ADocumentTakesThePlaceOfItself) {
  EXPECT_EQ(put("notes", "#A\n\nFirst thing.\n\n#B\n\nSecond thing."), rag::PutResult::added);
  EXPECT_EQ(embedder_->embedded, 2);
  EXPECT_EQ(put("notes", "#A\n\nFirst thing.\n\n#B\n\nSecond thing."), rag::PutResult::unchanged);
  EXPECT_EQ(embedder_->embedded, 2);
  EXPECT_EQ(put("notes", "#New\n\nNothing else.\n\n#A\n\nFirst thing.\n\n#B\n\nAnother matter."),
            rag::PutResult::updated);
  EXPECT_EQ(embedder_->embedded, 4) << "what stayed keeps its vector";
  EXPECT_EQ(words("second"), Ids{});
  EXPECT_EQ(words("matter"), Ids{"notes"});
  const auto snapshot = store_->snapshot();
  const auto chunks = snapshot->chunks_of("notes");
  ASSERT_EQ(chunks.size(), 3U);
  EXPECT_EQ(chunks[0].chunk.heading, "New");
  EXPECT_EQ(chunks[1].chunk.heading, "A");
  EXPECT_EQ(chunks[1].chunk.place.line, 7);
  EXPECT_EQ(chunks[2].chunk.text, "Another matter.");
  EXPECT_EQ(snapshot->statistics().chunks, 3);
  EXPECT_EQ(snapshot->statistics().documents, 1);
}

TEST_F(StoreTest, RemovedDocumentsAreFoundNoMore) {
  put("a", "Honey here.");
  put("b", "Honey there.");
  EXPECT_EQ(vectors("Honey").size(), 2U);
  EXPECT_TRUE(base_->remove("a"));
  EXPECT_FALSE(base_->remove("a"));
  EXPECT_EQ(words("honey"), Ids{"b"});
  EXPECT_EQ(vectors("Honey"), Ids{"b"});
  EXPECT_FALSE(store_->snapshot()->document("a"));
  EXPECT_EQ(store_->snapshot()->statistics().documents, 1);
  put("a", "Honey here.");
  EXPECT_EQ(vectors("Honey here.").front(), "a");
}

TEST_F(StoreTest, FiltersHoldForBothSearches) {
  put("old", "Honey.", {{"year", 999}, {"tags", {"x", "y"}}});
  put("new", "Honey.", {{"year", 2020}, {"tags", {"y"}}, {"date", "2020-05-01"}});
  put("none", "Honey.");
  const auto expect = [&](const Ids& expected, const std::vector<const char*>& conditions) {
    rag::Filter filter;
    for (const char* condition : conditions) filter.push_back(parse_condition(condition));
    Ids by_words = words("honey", filter);
    Ids by_vectors = vectors("Honey.", filter);
    std::ranges::sort(by_words);
    std::ranges::sort(by_vectors);
    EXPECT_EQ(by_words, expected) << conditions.front();
    EXPECT_EQ(by_vectors, expected) << conditions.front();
    Ids listed;
    for (const auto& record : store_->snapshot()->documents(filter, "", 10)) listed.push_back(record.id);
    EXPECT_EQ(listed, expected) << conditions.front();
  };
  expect({"new"}, {"year>1000"});  // not the order of letters
  expect({"old"}, {"year<1000"});
  expect({"new", "old"}, {"tags=y"});
  expect({"new"}, {"tags=y", "tags!=x"});
  expect({"new"}, {"date>=2020-01-01"});
  expect({"new", "none"}, {"id^=n"});
  expect({"none"}, {"year!=999", "year!=2020"});
  expect({}, {"year=1"});
  expect({"old"}, {"id=old"});
}

TEST_F(StoreTest, DocumentsAreListedInPages) {
  for (const char* id : {"c", "a", "b"}) put(id, "#H\n\nText.\n\n#I\n\nMore.", {{"n", 1}});
  const auto snapshot = store_->snapshot();
  const auto first = snapshot->documents({}, "", 2);
  ASSERT_EQ(first.size(), 2U);
  EXPECT_EQ(first[0].id, "a");
  EXPECT_EQ(first[0].chunks, 2);
  EXPECT_EQ(first[0].metadata, Json({{"n", 1}}));
  EXPECT_GT(first[0].updated, 1'600'000'000);
  const auto rest = snapshot->documents({}, first[1].id, 2);
  ASSERT_EQ(rest.size(), 1U);
  EXPECT_EQ(rest[0].id, "c");
}

TEST_F(StoreTest, ASnapshotStaysAsItIs) {
  put("a", "Honey of old.");
  const auto snapshot = store_->snapshot();
  const std::vector<Hit> before = snapshot->match_words("honey", 10, {});
  ASSERT_EQ(before.size(), 1U);
  put("a", "Honey of today.");
  put("b", "More honey.");
  EXPECT_EQ(snapshot->match_words("honey", 10, {}).size(), 1U);
  EXPECT_EQ(snapshot->chunks(std::vector<int64_t>{before[0].chunk})[0].chunk.text, "Honey of old.");
  EXPECT_EQ(
      ids(*snapshot, snapshot->match_vector(embedder_->embed(std::vector<std::string>{"honey"}, {}), 10, {})),
      Ids{"a"});
}

TEST_F(StoreTest, ReadersNeverSeeHalfAnUpdate) {
  // Each state of the document has three chunks that say which state they are of.
  const auto state = [](int n) {
    std::string text;
    for (const char* part : {"first", "second", "third"})
      text += std::string("#") + part + "\n\nHoney of state" + std::to_string(n) + ".\n\n";
    return text;
  };
  put("a", state(0));
  std::atomic<bool> done = false;
  std::atomic<int> reads = 0;
  std::vector<std::thread> readers;
  for (int r = 0; r < 3; ++r) {
    readers.emplace_back([&] {
      while (!done) {
        const auto snapshot = store_->snapshot();
        const auto vector = WordEmbedder().embed(std::vector<std::string>{"Honey of"}, {});
        std::set<std::string> texts;
        for (const auto& hits :
             {snapshot->match_words("honey", 10, {}), snapshot->match_vector(vector, 10, {})}) {
          std::vector<int64_t> chunks;
          for (const Hit& hit : hits) chunks.push_back(hit.chunk);
          EXPECT_EQ(chunks.size(), 3U);
          for (const auto& chunk : snapshot->chunks(chunks)) texts.insert(chunk.chunk.text);
        }
        EXPECT_EQ(texts.size(), 1U);
        ++reads;
      }
    });
  }
  for (int n = 1; n <= 100; ++n) {
    put("a", state(n));
    const int before = reads;
    while (reads == before) std::this_thread::yield();  // somebody looks at some of the states
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
}

TEST_F(StoreTest, WhatOthersChangedMeanwhileIsNotOverwrittenBlindly) {
  const auto chunks_of = [](const std::string& text) {
    return rag::make_chunks(document_of("a", text), {}, rag::estimate_tokens);
  };
  const rag::DocumentRecord record{"a", "", "", "x", Json::object(), 0, 0};
  const std::vector<float> one(64, 0.125F);
  put("a", "#A\n\nOne.");
  const auto chunks = chunks_of("#A\n\nOne.\n\n#B\n\nTwo.");
  const std::vector<std::string> kept = store_->kept_keys("a", chunks);
  EXPECT_EQ(kept.size(), 1U);
  base_->remove("a");  // and with it the chunk that was to be kept
  EXPECT_FALSE(store_->put(record, chunks, kept, one));
  EXPECT_FALSE(store_->snapshot()->document("a"));
  // As many are kept as before, but others: their vectors are not those that were made.
  put("a", "#B\n\nTwo.");
  EXPECT_FALSE(store_->put(record, chunks, kept, one));
  EXPECT_TRUE(store_->put(record, chunks, store_->kept_keys("a", chunks), one));
  EXPECT_EQ(store_->snapshot()->statistics().chunks, 2);
}

TEST_F(StoreTest, VectorsThatDoNotFitAreRefused) {
  const auto chunks = rag::make_chunks(document_of("a", "One."), {}, rag::estimate_tokens);
  const rag::DocumentRecord record{"a", "", "", "x", Json::object(), 0, 0};
  expect_error([&] { store_->put(record, chunks, {}, std::vector<float>(63)); },
               {store_->name(), "1 chunks, 64 numbers", "found 63"});
  expect_error([&] { store_->put(record, chunks, {}, std::vector<float>(128)); }, {"found 128"});
  EXPECT_FALSE(store_->snapshot()->document("a"));
}

TEST_F(StoreTest, SeveralWritersLoseNothing) {
  std::vector<std::thread> writers;
  for (int w = 0; w < 4; ++w) {
    writers.emplace_back([&, w] {
      rag::KnowledgeBase base(open(), std::make_shared<WordEmbedder>());  // as another process would
      for (int i = 0; i < 25; ++i)
        base.put(
            document_of("d" + std::to_string(w) + "-" + std::to_string(i), "Honey " + std::to_string(i)));
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(store_->snapshot()->statistics().documents, 100);
  const auto vector = embedder_->embed(std::vector<std::string>{"Honey"}, {});
  EXPECT_EQ(store_->snapshot()->match_vector(vector, 200, {}).size(), 100U);
}

}  // namespace
}  // namespace rotor::test
