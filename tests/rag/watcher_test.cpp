// What happens to files while they are watched.
#include "runtime/rag/files/watcher.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <thread>

#include "rotor/core/error.h"
#include "tests/rag/rag_fixture.h"

namespace rotor::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using Ids = std::vector<std::string>;

class WatcherTest : public BaseFixture {
 protected:
  WatcherTest() {
    create();
    store_ = open();
    base_ = std::make_unique<rag::KnowledgeBase>(store_, embedder_);
    fs::create_directories(folder_);
  }

  std::string file(const std::string& name) const { return folder_ + "/" + name; }
  void write(const std::string& name, const std::string& text) { write_bytes(file(name), text); }
  void watch(const std::string& path) {
    watcher_ = std::make_unique<rag::Watcher>(
        *base_, std::vector<rag::Origin>{{path, std::nullopt, "", Json::object()}},
        rag::WatcherOptions{
            .quiet = 30ms, .patience = 200ms, .pause = 50ms, .say = [this](const std::string& message) {
              const std::lock_guard lock(mutex_);
              told_ += message + "\n";
            }});
  }
  std::string told() {
    const std::lock_guard lock(mutex_);
    return told_;
  }
  /// Ids below the folder when all that happened is done.
  Ids there() {
    EXPECT_TRUE(watcher_->settle(20s)) << told();
    Ids ids;
    for (const auto& document : store_->records()->documents({}, "", 1000))
      ids.push_back(document.id.substr(folder_.size() + 1));
    return ids;
  }
  std::string text_of(const std::string& name) {
    std::string text;
    for (const auto& stored : store_->records()->chunks_of(file(name))) text += stored.chunk.text;
    return text;
  }

  std::string folder_ = rag::absolute_path(dir_.file("notes"));
  std::shared_ptr<WordEmbedder> embedder_ = std::make_shared<WordEmbedder>();
  std::shared_ptr<rag::Store> store_;
  std::unique_ptr<rag::KnowledgeBase> base_;
  std::mutex mutex_;
  std::string told_;
  std::unique_ptr<rag::Watcher> watcher_;  // gone before what it tells
};

TEST_F(WatcherTest, FollowsFiles) {
  write("before.txt", "Was there.");
  watch(folder_);
  EXPECT_EQ(there(), Ids{"before.txt"});
  write("a.txt", "One.");
  EXPECT_EQ(there(), (Ids{"a.txt", "before.txt"}));
  write("a.txt", "Two.");
  there();
  EXPECT_EQ(text_of("a.txt"), "Two.");
  fs::rename(file("a.txt"), file("b.txt"));
  EXPECT_EQ(there(), (Ids{"b.txt", "before.txt"}));
  fs::remove(file("before.txt"));
  EXPECT_EQ(there(), Ids{"b.txt"});
  write("b.txt~", "An editor's copy, of no known kind.");
  EXPECT_EQ(there(), Ids{"b.txt"});
  EXPECT_NE(told().find("1 added"), std::string::npos) << told();
}

TEST_F(WatcherTest, FollowsFolders) {
  watch(folder_);
  fs::create_directories(file("x/y"));
  write("x/y/deep.txt", "Deep.");
  EXPECT_EQ(there(), Ids{"x/y/deep.txt"});
  write("x/y/more.txt", "More.");
  EXPECT_EQ(there(), (Ids{"x/y/deep.txt", "x/y/more.txt"}));
  fs::rename(file("x"), file("z"));
  EXPECT_EQ(there(), (Ids{"z/y/deep.txt", "z/y/more.txt"}));
  write("z/y/deep.txt", "Changed after the move.");
  there();
  EXPECT_EQ(text_of("z/y/deep.txt"), "Changed after the move.");
  fs::rename(file("z"), dir_.file("outside"));
  EXPECT_EQ(there(), Ids{});
  write_bytes(dir_.file("outside/y/new.txt"), "No longer watched.");
  fs::create_directories(file(".hidden"));
  write(".hidden/a.txt", "Hidden.");
  EXPECT_EQ(there(), Ids{});
  fs::rename(dir_.file("outside"), file("back"));
  EXPECT_EQ(there().size(), 3U);
}

TEST_F(WatcherTest, WithinTwoSecondsAsItComes) {
  watcher_ = std::make_unique<rag::Watcher>(
      *base_, std::vector<rag::Origin>{{folder_, std::nullopt, "", Json::object()}}, rag::WatcherOptions{});
  there();
  // A program that writes all the time must not hold the file back.
  std::jthread writer([&](const std::stop_token& stop) {
    std::ofstream out(file("log.txt"));
    while (!stop.stop_requested()) {
      out << "line\n" << std::flush;
      std::this_thread::sleep_for(20ms);
    }
  });
  const auto begin = std::chrono::steady_clock::now();
  while (!store_->records()->document(file("log.txt")) && std::chrono::steady_clock::now() - begin < 20s)
    std::this_thread::sleep_for(10ms);
  EXPECT_TRUE(store_->records()->document(file("log.txt")));
  const rag::WatcherOptions usual;
  EXPECT_LT(usual.quiet, 2s);
  EXPECT_LT(usual.patience, 2s);
}

TEST_F(WatcherTest, OneFileWhoseEditorReplacesIt) {
  write("a.txt", "One.");
  write("other.txt", "Not watched.");
  watch(file("a.txt"));
  EXPECT_EQ(there(), Ids{"a.txt"});
  write("a.txt.new", "Two.");
  fs::rename(file("a.txt.new"), file("a.txt"));
  EXPECT_EQ(there(), Ids{"a.txt"});
  EXPECT_EQ(text_of("a.txt"), "Two.");
  fs::remove(file("a.txt"));
  EXPECT_EQ(there(), Ids{});
  write("a.txt", "Again.");
  EXPECT_EQ(there(), Ids{"a.txt"});
}

TEST_F(WatcherTest, AFolderThatGoesKeepsItsDocumentsAndMayComeBack) {
  write("a.txt", "One.");
  watch(folder_);
  there();
  fs::rename(folder_, dir_.file("away"));
  EXPECT_EQ(there(), Ids{"a.txt"});
  EXPECT_NE(told().find("it is not there"), std::string::npos) << told();
  write_bytes(dir_.file("away/b.txt"), "Two.");
  fs::rename(dir_.file("away"), folder_);
  EXPECT_EQ(there(), (Ids{"a.txt", "b.txt"}));
  write("c.txt", "Three.");
  EXPECT_EQ(there(), (Ids{"a.txt", "b.txt", "c.txt"}));
}

TEST_F(WatcherTest, WhatTheBaseRefusesIsTriedAgain) {
  class Shy : public WordEmbedder {
   public:
    std::vector<float> embed(std::span<const std::string> texts,
                             const std::function<bool()>& keep_going) override {
      if (++calls_ < 3) fail("not now");
      return WordEmbedder::embed(texts, keep_going);
    }

   private:
    std::atomic<int> calls_ = 0;
  };
  base_ = std::make_unique<rag::KnowledgeBase>(store_, std::make_shared<Shy>());
  write("a.txt", "One.");
  watch(folder_);
  EXPECT_EQ(there(), Ids{"a.txt"});
  EXPECT_NE(told().find("not now"), std::string::npos);
}

TEST_F(WatcherTest, ManyChangesAtOnce) {
  watch(folder_);
  for (int i = 0; i < 300; ++i) write("f" + std::to_string(i % 100) + ".txt", "Text " + std::to_string(i));
  for (int i = 50; i < 100; ++i) fs::remove(file("f" + std::to_string(i) + ".txt"));
  EXPECT_EQ(there().size(), 50U);
  EXPECT_EQ(text_of("f7.txt"), "Text 207");
}

TEST_F(WatcherTest, EventsThatTheSystemLosesAreNotMissed) {
  class Gate : public WordEmbedder {
   public:
    std::vector<float> embed(std::span<const std::string> texts,
                             const std::function<bool()>& keep_going) override {
      reached = true;
      reached.notify_all();
      open.wait(false);
      return WordEmbedder::embed(texts, keep_going);
    }
    std::atomic<bool> reached = false;
    std::atomic<bool> open = true;
  };
  const auto gate = std::make_shared<Gate>();
  base_ = std::make_unique<rag::KnowledgeBase>(store_, gate);
  fs::create_directories(file("moves"));
  for (const char* name : {"changes.txt", "goes.txt", "moves/a.txt", "stays.txt"}) write(name, "Before.");
  watch(folder_);
  EXPECT_EQ(there(), (Ids{"changes.txt", "goes.txt", "moves/a.txt", "stays.txt"}));
  gate->open = false;
  gate->reached = false;
  write("x.txt", "Once.");
  gate->reached.wait(false);
  int64_t most = 0;
  std::ifstream("/proc/sys/fs/inotify/max_queued_events") >> most;
  // Equal events in a row are one, so two files take turns.
  std::array<std::ofstream, 2> files = {std::ofstream(file("x.txt")), std::ofstream(file("y.txt"))};
  for (int64_t i = 0; i <= most; ++i) files[static_cast<size_t>(i % 2)].seekp(0).put('x').flush();
  write("changes.txt", "After.");
  fs::remove(file("goes.txt"));
  fs::rename(file("moves"), file("moved"));
  fs::create_directories(file("new/below"));
  write("new/below/b.txt", "New.");
  gate->open = true;
  gate->open.notify_all();
  const Ids all = {"changes.txt", "moved/a.txt", "new/below/b.txt", "stays.txt", "x.txt", "y.txt"};
  EXPECT_GT(most, 0);
  EXPECT_EQ(there(), all);
  EXPECT_EQ(text_of("changes.txt"), "After.");
  EXPECT_NE(told().find("max_queued_events"), std::string::npos) << "no event was lost: " << told();
  // Folders whose coming was lost are watched.
  write("new/below/b.txt", "Newer.");
  write("moved/a.txt", "Moved.");
  EXPECT_EQ(there(), all);
  EXPECT_EQ(text_of("new/below/b.txt"), "Newer.");
  EXPECT_EQ(text_of("moved/a.txt"), "Moved.");
}

TEST_F(WatcherTest, SaysWhatItCannotWatch) {
  expect_error([&] { watch(file("none")); }, {file("none"), "no such file"});
}

}  // namespace
}  // namespace rotor::test
