#include "runtime/rag/search.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/rag/rag_fixture.h"

namespace rotor::test {
namespace {

using rag::Found;
using rag::Hit;
using rag::SearchMode;
using rag::SearchOptions;

/// Finds what the test says.
class FakeSnapshot : public rag::Snapshot {
 public:
  std::vector<Hit> match_words(const std::string&, int64_t count, const rag::Filter&) override {
    return first(words, count);
  }
  std::vector<Hit> match_vector(std::span<const float>, int64_t count, const rag::Filter&) override {
    return first(near, count);
  }
  std::vector<rag::StoredChunk> chunks(std::span<const int64_t> ids) override {
    std::vector<rag::StoredChunk> found;
    for (const int64_t id : ids) {
      found.emplace_back();
      found.back().id = id;
      found.back().document.id = std::to_string(id);
    }
    return found;
  }
  std::vector<float> vectors(std::span<const int64_t> ids) override {
    std::vector<float> values;
    for (const int64_t id : ids)
      values.insert(values.end(), vector_of.at(id).begin(), vector_of.at(id).end());
    return values;
  }
  std::optional<rag::DocumentRecord> document(const std::string&) override { return std::nullopt; }
  std::vector<rag::DocumentRecord> documents(const rag::Filter&, const std::string&, int64_t) override {
    return {};
  }
  std::vector<rag::StoredChunk> chunks_of(const std::string&) override { return {}; }
  rag::StoreStatistics statistics() override { return {}; }

  std::vector<Hit> words;
  std::vector<Hit> near;
  std::map<int64_t, std::vector<float>> vector_of;

 private:
  static std::vector<Hit> first(std::vector<Hit> hits, int64_t count) {
    if (std::ssize(hits) > count) hits.resize(static_cast<size_t>(count));
    return hits;
  }
};

using Ids = std::vector<std::string>;
const std::vector<float> kQuery = {1.0F, 0.0F};

TEST(Search, RanksAreFused) {
  FakeSnapshot snapshot;
  snapshot.words = {{1, 9.0}, {2, 8.0}, {3, 7.0}};
  snapshot.near = {{3, 0.9}, {4, 0.8}, {1, 0.7}};
  const auto found = search(snapshot, "q", kQuery, {.count = 4});
  // 1: 0.5/61 + 0.5/63; 3: 0.5/63 + 0.5/61, the same: the smaller id first. 2 and 4 likewise.
  EXPECT_EQ(ids_of(found), (Ids{"1", "3", "2", "4"}));
  EXPECT_DOUBLE_EQ(found[0].score, 0.5 / 61 + 0.5 / 63);
  EXPECT_DOUBLE_EQ(found[2].score, 0.5 / 62);
  EXPECT_EQ(found[0].words->rank, 1);
  EXPECT_EQ(found[0].words->score, 9.0);
  EXPECT_EQ(found[0].vectors->rank, 3);
  EXPECT_FALSE(found[3].words);
  EXPECT_EQ(found[0].fused, found[0].score);
  EXPECT_EQ(ids_of(search(snapshot, "q", kQuery, {.count = 2, .words_share = 0.9})), (Ids{"1", "3"}));
  EXPECT_EQ(ids_of(search(snapshot, "q", kQuery, {.count = 2, .words_share = 0.1})), (Ids{"3", "1"}));
}

TEST(Search, EitherAlone) {
  FakeSnapshot snapshot;
  snapshot.words = {{1, 9.0}, {2, 8.0}};
  snapshot.near = {{3, 0.9}};
  EXPECT_EQ(ids_of(search(snapshot, "q", kQuery, {.mode = SearchMode::words})), (Ids{"1", "2"}));
  EXPECT_EQ(search(snapshot, "q", kQuery, {.mode = SearchMode::words})[0].score, 9.0);
  EXPECT_EQ(ids_of(search(snapshot, "q", kQuery, {.mode = SearchMode::vectors})), Ids{"3"});
  EXPECT_EQ(ids_of(search(snapshot, "q", {}, {})), (Ids{"1", "2"})) << "a base without vectors";
}

TEST(Search, DiversityPrefersWhatIsNew) {
  FakeSnapshot snapshot;
  snapshot.near = {{1, 0.9}, {2, 0.89}, {3, 0.5}};
  snapshot.vector_of = {{1, {1.0F, 0.0F}}, {2, {1.0F, 0.0F}}, {3, {0.0F, 1.0F}}};
  const SearchOptions plain{.mode = SearchMode::vectors, .count = 2};
  EXPECT_EQ(ids_of(search(snapshot, "q", kQuery, plain)), (Ids{"1", "2"}));
  SearchOptions diverse = plain;
  diverse.diversity = 0.5;
  const auto found = search(snapshot, "q", kQuery, diverse);
  // 2: 0.5 * 0.89/0.9 - 0.5 * 1 < 0; 3: 0.5 * 0.5/0.9 > 0.
  EXPECT_EQ(ids_of(found), (Ids{"1", "3"}));
  EXPECT_EQ(found[1].likeness, 0.0);
}

TEST(Search, ARerankerHasTheLastWord) {
  FakeSnapshot snapshot;
  for (int64_t i = 1; i <= 30; ++i) snapshot.words.push_back({i, 100.0 - static_cast<double>(i)});
  SearchOptions options{.mode = SearchMode::words, .count = 2};
  options.rerank_count = 10;
  options.rerank = [](const std::string& query, std::span<const rag::StoredChunk> chunks) {
    EXPECT_EQ(query, "q");
    EXPECT_EQ(chunks.size(), 10U);
    std::vector<double> scores;
    for (const auto& chunk : chunks) scores.push_back(chunk.id == 7 ? 5.0 : chunk.id == 3 ? 4.0 : 0.0);
    return scores;
  };
  const auto found = search(snapshot, "q", {}, options);
  EXPECT_EQ(ids_of(found), (Ids{"7", "3"}));
  EXPECT_EQ(found[0].score, 5.0);
  EXPECT_EQ(found[0].words->rank, 7);
  options.rerank = [](const std::string&, std::span<const rag::StoredChunk>) {
    return std::vector<double>{1.0};
  };
  expect_error([&] { search(snapshot, "q", {}, options); }, {"rerank", "10", "1"});
}

TEST(Search, OptionsThatCannotBeAreRefused) {
  FakeSnapshot snapshot;
  const auto refused = [&](const SearchOptions& options, const std::vector<std::string>& parts) {
    expect_error([&] { search(snapshot, "q", {}, options); }, parts);
  };
  refused({.count = 0}, {"at least 1"});
  refused({.count = 10, .candidates = 9}, {"candidates", "10", "9"});
  refused({.words_share = 1.5}, {"0 to 1", "1.5"});
  refused({.diversity = -1}, {"diversity"});
  refused({.fusion_k = std::nan("")}, {"fusion"});
}

}  // namespace
}  // namespace rotor::test
