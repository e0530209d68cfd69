// The same documents in SQLite and on a server: the same results but for ties.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "runtime/rag/postgres/postgres_store.h"
#include "runtime/rag/sqlite/sqlite_store.h"
#include "tests/rag/postgres/postgres_server.h"
#include "tests/rag/rag_fixture.h"

namespace rotor::test {
namespace {

constexpr double kEqual = 1e-9;

class SameResultsTest : public BaseFixture {
 protected:
  SameResultsTest() {
    const rag::BaseConfig config{"words", 64, {}};
    rag::create_sqlite_store(file_, config);
    create_base(path(), config);
    for (auto* base : {&lite_, &server_}) {
      std::shared_ptr<rag::Store> store =
          base == &lite_ ? std::shared_ptr<rag::Store>(rag::open_sqlite_store(file_)) : open();
      *base = std::make_unique<rag::KnowledgeBase>(std::move(store), std::make_shared<WordEmbedder>());
    }
  }

  /// Made-up words, the first ones frequent; some in capitals, with accents, with endings.
  std::string text(size_t words) {
    std::string text;
    for (size_t i = 0; i < words; ++i) {
      const int rank = static_cast<int>(1.0 / (1e-3 + std::generate_canonical<double, 32>(random_)));
      static constexpr const char* kEndings[] = {"", "s", "ing", "\xC3\xA9", "'s", "X"};
      text.append("w")
          .append(std::to_string(rank))
          .append(kEndings[random_() % 6])
          .append(random_() % 9 == 0 ? ".\n\n" : " ");
    }
    return text;
  }
  void put(const rag::Document& document) { EXPECT_EQ(lite_->put(document), server_->put(document)); }
  void remove(const std::string& id) { EXPECT_EQ(lite_->remove(id), server_->remove(id)); }

  /// Found by both in the same order; of those with one score the order does not matter, and at the end of
  /// the list some of them may be missing.
  static void expect_same(const std::vector<rag::Found>& a, const std::vector<rag::Found>& b,
                          const std::string& query) {
    ASSERT_EQ(a.size(), b.size()) << query;
    std::map<double, std::set<std::string>> groups[2];
    for (size_t i = 0; i < a.size(); ++i) {
      ASSERT_NEAR(a[i].score, b[i].score, kEqual) << query << " at " << i;
      const double last = groups[0].empty() ? a[i].score + 1 : groups[0].begin()->first;
      const double group = last - a[i].score < kEqual ? last : a[i].score;
      groups[0][group].insert(a[i].chunk.chunk.key);
      groups[1][group].insert(b[i].chunk.chunk.key);
    }
    if (groups[0].empty()) return;
    for (auto& group : groups) group.erase(group.begin());
    EXPECT_EQ(groups[0], groups[1]) << query;
  }
  void expect_same(const std::string& query, const rag::SearchOptions& options) {
    expect_same(lite_->search(query, options), server_->search(query, options), query);
  }

  std::mt19937_64 random_{17};
  const std::string file_ = dir_.file("base.db");
  std::unique_ptr<rag::KnowledgeBase> lite_;
  std::unique_ptr<rag::KnowledgeBase> server_;
};

TEST_F(SameResultsTest, OfAllSearches) {
  for (int i = 0; i < 150; ++i) {
    put(document_of("d" + std::to_string(i), text(1 + random_() % 400),
                    {{"year", 2000 + i % 9}, {"tag", {"a", "b"}}}));
  }
  put(document_of("often", [] {
    std::string text;
    for (int i = 0; i < 300; ++i) text += "w2 w2 honey ";
    return text;
  }()));
  for (int i = 0; i < 40; ++i) put(document_of("d" + std::to_string(random_() % 150), text(100)));
  for (int i = 0; i < 150; i += 10) remove("d" + std::to_string(i));
  size_t found = 0;
  for (int i = 0; i < 60; ++i) {
    const std::string query = text(1 + random_() % 8);
    for (const auto mode : {rag::SearchMode::words, rag::SearchMode::vectors, rag::SearchMode::hybrid}) {
      rag::SearchOptions options{
          .mode = mode, .count = 20, .candidates = mode == rag::SearchMode::hybrid ? 2000 : 20};
      expect_same(query, options);
      found += server_->search(query, options).size();
      options.filter = {rag::parse_condition("year>=2004"), rag::parse_condition("tag!=c")};
      expect_same(query, options);
    }
    if (HasFailure()) return;
  }
  EXPECT_GT(found, 1000U);
  expect_same("honey", {.mode = rag::SearchMode::words, .count = 20});
}

TEST_F(SameResultsTest, OfListsAndStatistics) {
  for (const char* id : {"b", "a", "B", "\xC3\xA4", "a/b", "\xFFx"})
    put(document_of(id, "#Head\n\nSome text.", {{"n", 1.5}, {"list", {1, "two"}}}));
  const auto lite = lite_->store().snapshot();
  const auto server = server_->store().snapshot();
  const auto all = lite->documents({}, "", 100);
  const auto its = server->documents({}, "", 100);
  ASSERT_EQ(all.size(), its.size());
  for (size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].id, its[i].id);
    EXPECT_EQ(all[i].metadata, its[i].metadata);
    EXPECT_EQ(all[i].content, its[i].content);
    EXPECT_EQ(all[i].chunks, its[i].chunks);
    const auto chunks = lite->chunks_of(all[i].id);
    const auto other = server->chunks_of(all[i].id);
    ASSERT_EQ(chunks.size(), other.size());
    for (size_t c = 0; c < chunks.size(); ++c) {
      EXPECT_EQ(chunks[c].chunk.key, other[c].chunk.key);
      EXPECT_EQ(chunks[c].chunk.heading, other[c].chunk.heading);
      EXPECT_EQ(chunks[c].chunk.text, other[c].chunk.text);
      EXPECT_EQ(chunks[c].chunk.tokens, other[c].chunk.tokens);
      EXPECT_EQ(lite->vectors(std::vector<int64_t>{chunks[c].id}),
                server->vectors(std::vector<int64_t>{other[c].id}));
    }
  }
  EXPECT_EQ(lite->statistics().documents, server->statistics().documents);
  EXPECT_EQ(lite->statistics().chunks, server->statistics().chunks);
  EXPECT_GT(server->statistics().bytes, 100'000);
}

}  // namespace
}  // namespace rotor::test
