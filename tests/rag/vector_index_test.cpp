#include "runtime/rag/sqlite/vector_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

#include "tests/support/temp_dir.h"

namespace rotor::test {
namespace {

using namespace runtime::rag;

constexpr int64_t kWidth = 24;

std::vector<float> random_vectors(int64_t rows, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(rows * kWidth));
  for (float& value : values) value = normal(random);
  return values;
}

std::vector<int64_t> ids_from(int64_t first, int64_t count) {
  std::vector<int64_t> ids(static_cast<size_t>(count));
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

/// By all products.
std::vector<int64_t> expected(const std::vector<int64_t>& ids, const std::vector<float>& rows,
                              const std::vector<float>& query, size_t count) {
  std::vector<std::pair<double, int64_t>> scores;
  for (size_t i = 0; i < ids.size(); ++i) {
    double sum = 0.0;
    for (size_t j = 0; j < kWidth; ++j)
      sum += static_cast<double>(rows[i * kWidth + j]) * static_cast<double>(query[j]);
    scores.emplace_back(-sum, ids[i]);
  }
  std::ranges::sort(scores);
  std::vector<int64_t> best;
  for (size_t i = 0; i < std::min(count, scores.size()); ++i) best.push_back(scores[i].second);
  return best;
}

std::vector<int64_t> found(const std::vector<Hit>& hits) {
  std::vector<int64_t> ids;
  for (const Hit& hit : hits) ids.push_back(hit.chunk);
  return ids;
}

TEST(VectorIndex, FindsTheNearest) {
  const auto rows = random_vectors(500, 1);
  const auto ids = ids_from(10, 500);
  VectorIndex index(kWidth);
  EXPECT_TRUE(index.search(random_vectors(1, 2), 5).empty());
  index.add(ids, rows);
  for (uint64_t seed = 2; seed < 12; ++seed) {
    const auto query = random_vectors(1, seed);
    EXPECT_EQ(found(index.search(query, 7)), expected(ids, rows, query, 7));
    const std::vector<int64_t> among = {3, 11, 12, 13, 400, 509, 600};
    std::vector<float> their_rows;
    std::vector<int64_t> there;
    for (const int64_t id : among) {
      if (id < 10 || id > 509) continue;
      there.push_back(id);
      their_rows.insert(their_rows.end(), rows.begin() + (id - 10) * kWidth,
                        rows.begin() + (id - 9) * kWidth);
    }
    EXPECT_EQ(found(index.search(query, 3, among)), expected(there, their_rows, query, 3));
  }
  EXPECT_EQ(index.search(random_vectors(1, 2), 1000).size(), 500U);
}

TEST(VectorIndex, IsExactWhateverTheVectorsAre) {
  // Rows of very different lengths, nearly equal ones, zeros: the screen in int8 may not lose any.
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    auto rows = random_vectors(400, seed);
    for (size_t row = 0; row < 400; ++row) {
      const float factor = std::exp2(static_cast<float>(static_cast<int>(random() % 41) - 20));
      for (size_t i = 0; i < kWidth; ++i) {
        float& value = rows[row * kWidth + i];
        if (row % 4 == 1) value *= factor;
        if (row % 4 == 2) value = rows[(row - 2) * kWidth + i] + 1e-4F * value;
        if (row % 40 == 3) value = 0.0F;
      }
    }
    const auto ids = ids_from(1, 400);
    VectorIndex index(kWidth);
    index.add(ids, rows);
    const auto query = random_vectors(1, seed + 100);
    for (const size_t count : {1, 10, 150}) {
      EXPECT_EQ(found(index.search(query, static_cast<int64_t>(count))), expected(ids, rows, query, count))
          << seed;
      EXPECT_EQ(found(index.search(query, static_cast<int64_t>(count), ids)),
                expected(ids, rows, query, count));
    }
    EXPECT_EQ(index.search(std::vector<float>(kWidth), 5).size(), 5U);
    EXPECT_TRUE(index.search(query, 0).empty());
  }
}

TEST(VectorIndex, WhatIsRemovedIsFoundNoMore) {
  auto rows = random_vectors(100, 1);
  auto ids = ids_from(1, 100);
  VectorIndex index(kWidth);
  index.add(ids, rows);
  index.remove(std::vector<int64_t>{50, 1, 100, 7, 12345});
  for (const int64_t id : {100, 50, 7, 1}) {
    const auto at = (id - 1) * kWidth;
    rows.erase(rows.begin() + at, rows.begin() + at + kWidth);
    ids.erase(ids.begin() + (id - 1));
  }
  EXPECT_EQ(index.size(), 96);
  const auto more = random_vectors(3, 9);
  index.add(std::vector<int64_t>{101, 105, 110}, more);
  rows.insert(rows.end(), more.begin(), more.end());
  ids.insert(ids.end(), {101, 105, 110});
  const auto query = random_vectors(1, 3);
  EXPECT_EQ(found(index.search(query, 99)), expected(ids, rows, query, 99));
}

TEST(VectorIndex, IsKeptInAFile) {
  const TempDir dir;
  const std::string path = dir.file("index");
  VectorIndex index(kWidth);
  index.add(ids_from(1, 50), random_vectors(50, 1));
  index.save(path, {"0123456789abcdef", 42});
  VectorIndex again(kWidth);
  const IndexState state = again.load(path);
  EXPECT_EQ(state.base, "0123456789abcdef");
  EXPECT_EQ(state.generation, 42);
  const auto query = random_vectors(1, 3);
  EXPECT_EQ(found(again.search(query, 10)), found(index.search(query, 10)));
}

TEST(VectorIndex, DamagedFilesAreRefused) {
  const TempDir dir;
  const std::string path = dir.file("index");
  VectorIndex index(kWidth);
  index.add(ids_from(1, 3), random_vectors(3, 1));
  index.save(path, {"0123456789abcdef", 42});
  const std::string whole = read_bytes(path);
  for (size_t size = 0; size < whole.size(); ++size) {
    write_bytes(path, whole.substr(0, size));
    expect_error([&] { VectorIndex(kWidth).load(path); }, {path});
  }
  for (size_t i = 0; i < whole.size(); ++i) {
    std::string flipped = whole;
    flipped[i] = static_cast<char>(flipped[i] ^ 0x10);
    write_bytes(path, flipped);
    expect_error([&] { VectorIndex(kWidth).load(path); }, {path});
  }
  write_bytes(path, whole);
  expect_error([&] { VectorIndex(kWidth + 1).load(path); }, {path, "25 numbers", "24"});
}

}  // namespace
}  // namespace rotor::test
