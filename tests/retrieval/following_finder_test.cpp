// What happens to a watched folder is found, and nothing goes on when the finder ends.
#include "runtime/retrieval/following_finder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "rotor/core/error.h"
#include "runtime/retrieval/retriever.h"
#include "tests/rag/rag_fixture.h"

namespace rotor::runtime::retrieval {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr auto kPatience = 20s;

class FollowingFinderTest : public test::BaseFixture {
 protected:
  FollowingFinderTest() {
    create();
    fs::create_directories(notes_);
    base_ = std::make_shared<rag::KnowledgeBase>(open(), std::make_shared<test::WordEmbedder>());
  }

  std::unique_ptr<SourceFinder> follow(const std::string& path) {
    auto finder = std::make_shared<Retriever>(base_, rag::estimate_tokens, Retriever::Options{});
    return std::make_unique<FollowingFinder>(
        base_, std::move(finder), std::vector<std::string>{path},
        rag::WatcherOptions{.quiet = 20ms, .patience = 200ms, .say = {}});
  }
  void write(const std::string& name, const std::string& text) {
    test::write_bytes(notes_ + "/" + name, text);
  }
  /// Asked again until it has the outcome, or nobody has patience any more.
  static Retrieval wait_for(const SourceFinder& finder, const std::string& question, Outcome outcome) {
    RetrievalRequest request;
    request.question = question;
    request.options.mode = Mode::always;
    const auto end = std::chrono::steady_clock::now() + kPatience;
    Retrieval result = finder.retrieve(request);
    while (result.outcome != outcome && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(10ms);
      result = finder.retrieve(request);
    }
    EXPECT_EQ(result.outcome, outcome) << result.reason;
    return result;
  }
  static size_t threads() {
    return static_cast<size_t>(std::distance(fs::directory_iterator("/proc/self/task"), {}));
  }

  const std::string notes_ = fs::canonical(dir_.path()).string() + "/notes";
  std::shared_ptr<rag::KnowledgeBase> base_;
};

TEST_F(FollowingFinderTest, FindsWhatComesAndLosesWhatGoes) {
  const auto finder = follow(notes_);
  wait_for(*finder, "moon tides", Outcome::nothing);
  write("tides.txt", "the moon makes the tides of the sea");
  const Retrieval found = wait_for(*finder, "moon tides", Outcome::used);
  ASSERT_EQ(found.sources.size(), 1U);
  EXPECT_EQ(found.sources[0].source, notes_ + "/tides.txt");
  fs::remove(notes_ + "/tides.txt");
  wait_for(*finder, "moon tides", Outcome::nothing);
  RetrievalOptions bad;
  bad.filter = {"year"};
  EXPECT_THROW(finder->check(bad), Error);
}

TEST_F(FollowingFinderTest, ReadsWhatTheBaseKnowsAsItWasAdded) {
  rag::Origin origin{notes_, rag::FileKind::text, "", Json{{"team", "harbour"}}};
  rag::keep_origin(base_->store(), origin);
  const auto finder = follow(notes_);
  write("tides", "the moon makes the tides of the sea");
  wait_for(*finder, "moon tides", Outcome::used);
  EXPECT_EQ(base_->store().records()->document(notes_ + "/tides")->metadata["team"], "harbour");
}

TEST_F(FollowingFinderTest, LeavesNoThread) {
  write("tides.txt", "the moon makes the tides of the sea");
  wait_for(*follow(notes_), "moon tides", Outcome::used);  // libraries may start threads that they keep
  std::this_thread::sleep_for(200ms);  // a thread that ended may be listed a moment longer
  const size_t before = threads();
  auto finder = follow(notes_);
  wait_for(*finder, "moon tides", Outcome::used);
  EXPECT_GT(threads(), before);
  finder.reset();
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (threads() > before && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(5ms);
  EXPECT_EQ(threads(), before);
  write("bread.txt", "flour and water make bread");
  std::this_thread::sleep_for(300ms);
  EXPECT_FALSE(base_->store().records()->document(notes_ + "/bread.txt").has_value());
}

}  // namespace
}  // namespace rotor::runtime::retrieval
