// What a SQLite base does besides: its files, and what becomes of damaged ones.
#include "runtime/rag/sqlite/sqlite_store.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>

#include "tests/rag/rag_fixture.h"

namespace rotor::test {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kWidth = 2048;  // so that numbers do not meet in a place

class SqliteStoreTest : public BaseFixture {
 protected:
  /// A base with so many documents that its index is kept.
  void fill(int64_t documents = 1200) {
    rag::KnowledgeBase base(open(), embedder_);
    for (int64_t i = 0; i < documents; ++i) base.put(document_of(name(i), "Honey " + std::to_string(i)));
    base.store().settle();
  }
  static std::string name(int64_t i) { return "d" + std::to_string(i); }
  std::vector<std::string> nearest(const std::string& text, int64_t count = 1) {
    rag::KnowledgeBase base(open(), embedder_);
    return ids_of(base.search(text, {.mode = rag::SearchMode::vectors, .count = count, .candidates = count}));
  }
  void execute(const std::string& sql) {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path().c_str(), &database), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(database);
    sqlite3_close(database);
  }

  std::shared_ptr<WordEmbedder> embedder_ = std::make_shared<WordEmbedder>(kWidth);
  std::string index() const { return path() + ".vectors"; }
};

TEST_F(SqliteStoreTest, IsNotMadeOverAnything) {
  write_bytes(path(), "mine");
  expect_error([&] { create(); }, {path(), "exists"});
  EXPECT_EQ(read_bytes(path()), "mine");
  expect_error([&] { rag::create_sqlite_store(dir_.file("no/such/folder/base.db"), {}); },
               {"no/such/folder"});
  for (const auto& entry : fs::directory_iterator(dir_.path()))
    EXPECT_EQ(entry.path(), path()) << "left behind";
}

TEST_F(SqliteStoreTest, WhatIsNoBaseIsRefused) {
  expect_error([&] { open(); }, {path(), "no such knowledge base"});
  write_bytes(path(), "this is a text and no database at all, however long it is");
  expect_error([&] { open(); }, {path(), "rotor rag"});
  fs::remove(path());
  execute("CREATE TABLE t(a)");
  expect_error([&] { open(); }, {path(), "no knowledge base"});
  fs::remove(path());
  create();
  execute("PRAGMA user_version = 2");
  expect_error([&] { open(); }, {path(), "version 1", "found 2", "newer"});
}

TEST_F(SqliteStoreTest, TheIndexIsKept) {
  create("words", kWidth);
  fill();
  ASSERT_TRUE(fs::exists(index()));
  EXPECT_EQ(nearest("Honey 77"), std::vector<std::string>{"d77"});
  EXPECT_EQ(said_, "");
  // What changed after it was kept is found nevertheless.
  rag::KnowledgeBase base(open(), embedder_);
  base.remove("d77");
  base.put(document_of("new", "Honey in new jars"));
  EXPECT_EQ(nearest("Honey in new jars"), std::vector<std::string>{"new"});
  EXPECT_EQ(said_, "");
}

TEST_F(SqliteStoreTest, AnIndexThatIsGoneOrDamagedIsMadeAnew) {
  create("words", kWidth);
  fill();
  const std::string whole = read_bytes(index());
  const std::vector<std::string> best = nearest("Honey 5", 20);
  write_bytes(index(), whole.substr(0, whole.size() / 2));
  EXPECT_EQ(nearest("Honey 5", 20), best);
  EXPECT_NE(said_.find("made anew"), std::string::npos) << said_;
  said_.clear();
  fs::remove(index());
  EXPECT_EQ(nearest("Honey 5", 20), best);
  EXPECT_EQ(said_, "") << "nothing is wrong with a base whose index was never kept";
  std::string flipped = whole;
  flipped[flipped.size() / 2] = static_cast<char>(flipped[flipped.size() / 2] ^ 1);
  write_bytes(index(), flipped);
  EXPECT_EQ(nearest("Honey 5", 20), best);
  EXPECT_NE(said_.find("checksum"), std::string::npos) << said_;
  // Of a base that was put back from an older copy, and of another base.
  said_.clear();
  write_bytes(index(), whole);
  execute("UPDATE base SET value = 3 WHERE name = 'generation'; UPDATE chunks SET generation = 3");
  EXPECT_EQ(nearest("Honey 5", 20), best);
  EXPECT_NE(said_.find("another time"), std::string::npos) << said_;
}

TEST_F(SqliteStoreTest, ADamagedBaseSaysSo) {
  create("words", kWidth);
  fill(200);
  std::string bytes = read_bytes(path());
  for (size_t i = 4096; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7);
  write_bytes(path(), bytes);
  fs::remove(path() + "-wal");
  expect_error([&] { nearest("Honey 5"); }, {"base.db", "malformed"});
}

TEST_F(SqliteStoreTest, VectorsOfTwoModelsAreNotMixed) {
  create("words", 64);
  expect_error([&] { rag::KnowledgeBase(open(), std::make_shared<WordEmbedder>(64, "other")); },
               {path(), "words", "other", "cannot be compared"});
  expect_error([&] { rag::KnowledgeBase(open(), nullptr); }, {path(), "words", "none"});
}

TEST_F(SqliteStoreTest, ABaseWithoutVectorsIsSearchedByWords) {
  create("", 0);
  rag::KnowledgeBase base(open(), nullptr);
  base.put(document_of("a", "Honey."));
  EXPECT_EQ(ids_of(base.search("honey", {})), std::vector<std::string>{"a"});
  expect_error([&] { base.search("honey", {.mode = rag::SearchMode::vectors}); }, {path(), "no vectors"});
  base.store().settle();
  EXPECT_FALSE(fs::exists(index()));
}

}  // namespace
}  // namespace rotor::test
