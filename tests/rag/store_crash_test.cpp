// A process that adds, updates and removes is killed at any moment: the base opens each time, with each
// document either old or new.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <random>
#include <set>
#include <thread>

#include "tests/rag/rag_fixture.h"

namespace rotor::test {
namespace {

using namespace std::chrono_literals;

constexpr int kDocuments = 12;
constexpr int kSections = 5;

/// Every chunk of a state says which one it is; which sections there are depends on it, too.
rag::Document document_in(int number, int state) {
  std::string text;
  for (int section = 0; section < kSections; ++section) {
    if ((state + section) % 3 == 0) continue;
    text += "#S" + std::to_string(section) + "\n\nHoney of document" + std::to_string(number) + " state" +
            std::to_string(state) + ".\n\n";
  }
  return document_of("d" + std::to_string(number), text, {{"state", state}});
}

class StoreCrashTest : public BaseFixture {
 protected:
  /// Changes documents without end.
  [[noreturn]] void work(uint64_t seed) {
    rag::KnowledgeBase base(open(), std::make_shared<WordEmbedder>());
    std::mt19937_64 random(seed);
    for (int64_t step = 0;; ++step) {
      const int number = static_cast<int>(random() % kDocuments);
      if (random() % 8 == 0) {
        base.remove("d" + std::to_string(number));
      } else {
        base.put(document_in(number, static_cast<int>(random() % 1000)));
      }
      if (step % 16 == 0) base.store().settle();
    }
  }

  /// All of the base is of one piece.
  void check() {
    const auto store = open();
    const auto snapshot = store->snapshot();
    std::set<int64_t> chunks;
    for (const auto& record : snapshot->documents({}, "", 1000)) {
      const int number = std::stoi(record.id.substr(1));
      const int state = record.metadata.at("state");
      const auto expected = rag::make_chunks(document_in(number, state), {}, rag::estimate_tokens);
      const auto found = snapshot->chunks_of(record.id);
      ASSERT_EQ(found.size(), expected.size()) << record.id;
      for (size_t i = 0; i < found.size(); ++i) {
        EXPECT_EQ(found[i].chunk.text, expected[i].text);
        EXPECT_EQ(found[i].chunk.heading, expected[i].heading);
        chunks.insert(found[i].id);
      }
    }
    const auto all = [](const std::vector<rag::Hit>& hits) {
      std::set<int64_t> ids;
      for (const auto& hit : hits) ids.insert(hit.chunk);
      return ids;
    };
    EXPECT_EQ(all(snapshot->match_words("honey", 10000, {})), chunks);
    const auto vector = WordEmbedder().embed(std::vector<std::string>{"Honey of"}, {});
    EXPECT_EQ(all(snapshot->match_vector(vector, 10000, {})), chunks);
    for (const int64_t chunk : chunks) EXPECT_EQ(snapshot->vectors(std::vector<int64_t>{chunk}).size(), 64U);
  }
};

TEST_F(StoreCrashTest, IsWholeAtAHundredRandomPoints) {
  create();
  std::mt19937_64 random(11);
  int64_t with_documents = 0;
  for (int round = 0; round < 100; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      try {
        work(static_cast<uint64_t>(round));
      } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        _exit(1);
      }
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 60000));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the worker ended by itself";
    check();
    with_documents += open()->snapshot()->statistics().documents > 0 ? 1 : 0;
    if (HasFailure()) FAIL() << "after " << round << " rounds";
  }
  EXPECT_GT(with_documents, 90);
  expect_sound(path());
}

}  // namespace
}  // namespace rotor::test
