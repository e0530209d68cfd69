// Files and folders against what the base then has of them.
#include "runtime/rag/files/file_sync.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "rotor/core/error.h"
#include "tests/rag/rag_fixture.h"

namespace rotor::test {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<std::string>;

class FileSyncTest : public BaseFixture {
 protected:
  FileSyncTest() {
    create();
    store_ = open();
    base_ = std::make_unique<rag::KnowledgeBase>(store_, embedder_);
    fs::create_directories(folder_ + "/sub");
  }

  std::string file(const std::string& name) const { return folder_ + "/" + name; }
  void write(const std::string& name, const std::string& text) { write_bytes(file(name), text); }
  rag::Origin origin(const std::string& path) const { return {path, std::nullopt, "", Json::object()}; }
  rag::SyncCounts sync() { return sync(origin(folder_)); }
  rag::SyncCounts sync(const rag::Origin& origin) { return make_sync().sync(origin); }
  rag::FileSync make_sync() {
    return rag::FileSync(*base_,
                         {.problem = [this](const std::string& problem) { problems_ += problem + "\n"; },
                          .progress = [this](int64_t bytes, const rag::SyncCounts&) { bytes_ = bytes; },
                          .keep_going = [this] { return left_ < 0 || (left_ > 0 && left_-- > 0); }});
  }
  /// Ids below the folder, without its name.
  Ids there() {
    Ids ids;
    for (const auto& document : store_->records()->documents({}, "", 1000)) {
      EXPECT_TRUE(document.id.starts_with(folder_ + "/")) << document.id;
      ids.push_back(document.id.substr(folder_.size() + 1));
    }
    return ids;
  }

  std::string folder_ = rag::absolute_path(dir_.file("notes"));
  std::shared_ptr<WordEmbedder> embedder_ = std::make_shared<WordEmbedder>();
  std::shared_ptr<rag::Store> store_;
  std::unique_ptr<rag::KnowledgeBase> base_;
  std::string problems_;
  int64_t bytes_ = 0;
  int left_ = -1;  // questions that keep_going() says yes to; -1: all
};

TEST_F(FileSyncTest, AFolderWithAllBelowIt) {
  write("a.txt", "Bees make honey.");
  write("sub/b.md", "# Bears\n\nThey eat it.");
  write("picture.png", "not known");
  write(".hidden.txt", "hidden");
  fs::create_directories(file(".git"));
  write(".git/c.txt", "hidden, too");
  const auto counts = sync();
  EXPECT_EQ(counts.added, 2);
  EXPECT_EQ(counts.failed, 0) << problems_;
  EXPECT_EQ(there(), (Ids{"a.txt", "sub/b.md"}));
  EXPECT_EQ(bytes_, 16 + 21);
}

TEST_F(FileSyncTest, OnlyWhatChangedIsDoneAgain) {
  write("a.txt", "First text.");
  write("b.txt", "Second text.");
  write("c.txt", "Third text.");
  sync();
  EXPECT_EQ(embedder_->embedded, 3);
  write("b.txt", "Other text.");
  fs::remove(file("c.txt"));
  write("d.txt", "Fourth text.");
  const auto counts = sync();
  EXPECT_EQ(counts.added, 1);
  EXPECT_EQ(counts.updated, 1);
  EXPECT_EQ(counts.unchanged, 1);
  EXPECT_EQ(counts.removed, 1);
  EXPECT_EQ(embedder_->embedded, 5);
  EXPECT_EQ(there(), (Ids{"a.txt", "b.txt", "d.txt"}));
  EXPECT_EQ(sync().changes(), 0);
}

TEST_F(FileSyncTest, AFileWithManyDocuments) {
  write("all.jsonl", "{\"id\": \"x\", \"text\": \"One.\"}\n{\"id\": \"y\", \"text\": \"Two.\"}\n");
  write("all.jsonl#x.txt", "A file whose name looks like a document of the other.");
  sync();
  EXPECT_EQ(there(), (Ids{"all.jsonl#x", "all.jsonl#x.txt", "all.jsonl#y"}));
  write("all.jsonl", "{\"id\": \"y\", \"text\": \"Two.\"}\n{\"id\": \"z\", \"text\": \"Three.\"}\n");
  const auto counts = sync();
  EXPECT_EQ(counts.added, 1);
  EXPECT_EQ(counts.removed, 1);
  EXPECT_EQ(there(), (Ids{"all.jsonl#x.txt", "all.jsonl#y", "all.jsonl#z"}));
  fs::remove(file("all.jsonl"));
  sync();
  EXPECT_EQ(there(), (Ids{"all.jsonl#x.txt"}));
}

TEST_F(FileSyncTest, WhatCannotBeReadStaysAsItWas) {
  write("a.txt", "Good text.");
  write("b.txt", "More text.");
  sync();
  write("a.txt", std::string("\x7f"
                             "ELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0>\0",
                             20));
  const auto counts = sync();
  EXPECT_EQ(counts.failed, 1);
  EXPECT_EQ(counts.changes(), 0);
  EXPECT_EQ(there(), (Ids{"a.txt", "b.txt"}));
  EXPECT_NE(problems_.find(file("a.txt")), std::string::npos) << problems_;
}

TEST_F(FileSyncTest, AFolderThatIsGoneKeepsItsDocuments) {
  write("a.txt", "Text.");
  sync();
  fs::rename(folder_, dir_.file("elsewhere"));
  const auto counts = sync();
  EXPECT_EQ(counts.failed, 1);
  EXPECT_EQ(there(), Ids{"a.txt"});
  EXPECT_NE(problems_.find("it is not there"), std::string::npos) << problems_;
  EXPECT_EQ(make_sync().remove(folder_).removed, 1);
  EXPECT_EQ(there(), Ids{});
}

TEST_F(FileSyncTest, PartsOfAnOrigin) {
  write("a.txt", "One.");
  write("sub/b.txt", "Two.");
  write("sub/c.txt", "Three.");
  sync();
  const rag::Origin all = origin(folder_);
  fs::remove(file("sub/b.txt"));
  write("a.txt", "Changed.");
  EXPECT_EQ(make_sync().sync_within(all, file("sub")).removed, 1);
  EXPECT_EQ(make_sync().sync_within(all, file("a.txt")).updated, 1);
  fs::remove_all(file("sub"));
  EXPECT_EQ(make_sync().sync_within(all, file("sub")).removed, 1);
  EXPECT_EQ(there(), Ids{"a.txt"});
  // A folder whose name begins like another one's is none of it.
  fs::create_directories(file("su"));
  write("su/x.txt", "X.");
  sync();
  EXPECT_EQ(make_sync().remove(file("s")).removed, 0);
  EXPECT_EQ(make_sync().sync_within(all, file("s")).removed, 0);
  EXPECT_EQ(there(), (Ids{"a.txt", "su/x.txt"}));
}

TEST_F(FileSyncTest, StopsAndGoesOn) {
  for (const char* name : {"a.txt", "b.txt", "c.txt", "d.txt"}) write(name, std::string("Text of ") + name);
  left_ = 4;
  const auto first = sync();
  EXPECT_GT(first.added, 0);
  EXPECT_LT(first.added, 4);
  EXPECT_EQ(first.removed, 0);
  left_ = -1;
  const auto rest = sync();
  EXPECT_EQ(rest.added, 4 - first.added);
  EXPECT_EQ(rest.unchanged, first.added);
}

TEST_F(FileSyncTest, AnOriginSaysHowFilesAreRead) {
  write("notes.cfg", "caf\xe9 de Paris, d\xe9j\xe0 vu");
  rag::Origin its{folder_, rag::FileKind::text, "ISO-8859-1", {{"team", "garden"}, {"year", 2026}}};
  EXPECT_EQ(sync(its).added, 1) << problems_;
  const auto found = store_->snapshot()->chunks_of(file("notes.cfg"));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].chunk.text, "caf\xc3\xa9 de Paris, d\xc3\xa9j\xc3\xa0 vu");
  EXPECT_EQ(found[0].document.metadata, its.metadata);
}

TEST_F(FileSyncTest, OriginsAreKeptInTheBase) {
  EXPECT_TRUE(rag::origins(*store_).empty());
  const rag::Origin first{"/a/b", rag::FileKind::pdf, "", Json::object()};
  const rag::Origin second{"/a", std::nullopt, "SHIFT_JIS", {{"x", 1}}};
  rag::keep_origin(*store_, first);
  rag::keep_origin(*store_, second);
  rag::keep_origin(*store_, second);
  store_ = open();
  const auto all = rag::origins(*store_);
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].path, "/a");
  EXPECT_EQ(all[0].encoding, "SHIFT_JIS");
  EXPECT_EQ(all[0].metadata, second.metadata);
  EXPECT_FALSE(all[0].kind);
  EXPECT_EQ(all[1].kind, rag::FileKind::pdf);
  EXPECT_TRUE(rag::forget_origin(*store_, "/a"));
  EXPECT_FALSE(rag::forget_origin(*store_, "/a"));
  EXPECT_EQ(rag::origins(*store_).size(), 1U);
}

TEST_F(FileSyncTest, ErrorsOfTheBaseAreNotTheFiles) {
  class Broken : public WordEmbedder {
   public:
    std::vector<float> embed(std::span<const std::string>, const std::function<bool()>&) override {
      fail("the server is gone");
    }
  };
  base_ = std::make_unique<rag::KnowledgeBase>(store_, std::make_shared<Broken>());
  write("a.txt", "One.");
  write("b.txt", "Two.");
  expect_error([&] { sync(); }, {"the server is gone"});
  EXPECT_EQ(problems_, "");
}

TEST(AbsolutePath, HasNoDotsAndNoSlashAtItsEnd) {
  EXPECT_EQ(rag::absolute_path("/a/./b/../c/"), "/a/c");
  EXPECT_EQ(rag::absolute_path("/"), "/");
  EXPECT_EQ(rag::absolute_path("x"), (fs::current_path() / "x").string());
  EXPECT_TRUE(rag::is_within("/a/b", "/a"));
  EXPECT_TRUE(rag::is_within("/a", "/a"));
  EXPECT_TRUE(rag::is_within("/a", "/"));
  EXPECT_FALSE(rag::is_within("/ab", "/a"));
}

}  // namespace
}  // namespace rotor::test
