// Who has which page: sharing, keeping, giving up, and that no text gets another one's page.
#include "runtime/engine/kv_pages.h"

#include <gtest/gtest.h>

namespace rotor::runtime {
namespace {

using Tokens = std::vector<text::TokenId>;

constexpr int64_t kPageTokens = 2;

TEST(KvPagesTest, PagesAreFoundByWhatTheyHoldAndWhatStandsBefore) {
  KvPages pages(4, kPageTokens, true);
  const auto root = pages.root({});
  const int32_t first = *pages.take();
  const int32_t second = *pages.take();
  pages.publish(first, root, Tokens{1, 2});
  pages.publish(second, pages.prefix_of(first), Tokens{3, 4});
  EXPECT_EQ(pages.find(root, Tokens{1, 2}), first);
  EXPECT_EQ(pages.find(pages.prefix_of(first), Tokens{3, 4}), second);
  EXPECT_EQ(pages.find(root, Tokens{3, 4}), std::nullopt);  // elsewhere in a text
  EXPECT_EQ(pages.find(root, Tokens{1, 3}), std::nullopt);
  const ActiveAdapter adapter{nullptr, 0.5F};
  EXPECT_NE(pages.root({adapter}), root);
  EXPECT_EQ(pages.find(pages.root({adapter}), Tokens{1, 2}), std::nullopt);
  EXPECT_EQ(pages.root({}), root);
  EXPECT_EQ(pages.in_use(), 2);
  EXPECT_EQ(pages.available(), 2);
}

TEST(KvPagesTest, WhatNobodyUsesIsKeptUntilItsPlaceIsNeeded) {
  KvPages pages(3, kPageTokens, true);
  const auto root = pages.root({});
  std::vector<int32_t> taken;
  for (text::TokenId i = 0; i < 3; ++i) {
    taken.push_back(*pages.take());
    pages.publish(taken.back(), root, Tokens{i, i});
  }
  EXPECT_EQ(pages.take(), std::nullopt);
  for (const int32_t page : {taken[1], taken[0], taken[2]}) pages.release(page);
  EXPECT_EQ(pages.kept(), 3);
  EXPECT_EQ(pages.find(root, Tokens{1, 1}), taken[1]);  // used again, and so not the oldest any more
  pages.release(taken[1]);
  EXPECT_EQ(pages.take(), taken[0]);
  EXPECT_EQ(pages.find(root, Tokens{0, 0}), std::nullopt);
  EXPECT_EQ(pages.take(), taken[2]);
  EXPECT_EQ(pages.find(root, Tokens{1, 1}), taken[1]);
  EXPECT_EQ(pages.take(), std::nullopt);
}

TEST(KvPagesTest, SharedPagesLastAsLongAsSomebodyUsesThem) {
  for (const bool keep : {true, false}) {
    KvPages pages(1, kPageTokens, keep);
    const auto root = pages.root({});
    const int32_t page = *pages.take();
    pages.publish(page, root, Tokens{1, 2});
    EXPECT_EQ(pages.find(root, Tokens{1, 2}), page);
    pages.release(page);
    EXPECT_EQ(pages.take(), std::nullopt);
    pages.release(page);
    EXPECT_EQ(pages.kept(), keep ? 1 : 0);
    EXPECT_EQ(pages.find(root, Tokens{1, 2}).has_value(), keep);
    EXPECT_EQ(pages.available(), keep ? 0 : 1);
  }
}

// Two texts computed the same page: one of them is found, and both are followed by what stands behind it.
TEST(KvPagesTest, TheSamePageTwice) {
  KvPages pages(3, kPageTokens, true);
  const auto root = pages.root({});
  const int32_t a = *pages.take();
  const int32_t b = *pages.take();
  pages.publish(a, root, Tokens{1, 2});
  pages.publish(b, root, Tokens{1, 2});
  EXPECT_EQ(pages.prefix_of(a), pages.prefix_of(b));
  pages.release(b);
  EXPECT_EQ(pages.available(), 2);
  pages.release(a);
  EXPECT_EQ(pages.find(root, Tokens{1, 2}), a);
}

TEST(KvPagesTest, ForgottenPagesAreNotFound) {
  KvPages pages(3, kPageTokens, true);
  const auto root = pages.root({});
  const int32_t used = *pages.take();
  const int32_t kept = *pages.take();
  pages.publish(used, root, Tokens{1, 2});
  pages.publish(kept, root, Tokens{3, 4});
  pages.release(kept);
  pages.forget();
  EXPECT_EQ(pages.find(root, Tokens{1, 2}), std::nullopt);
  EXPECT_EQ(pages.find(root, Tokens{3, 4}), std::nullopt);
  EXPECT_EQ(pages.in_use(), 1);
  EXPECT_EQ(pages.available(), 2);
  pages.release(used);
  EXPECT_EQ(pages.available(), 3);
}

// Weights of adapters are any numbers that clients think of.
TEST(KvPagesTest, RootsAreNotKeptForEver) {
  KvPages pages(1, kPageTokens, true);
  const auto root = pages.root({});
  for (int i = 0; i < 1000; ++i) {
    pages.root({ActiveAdapter{nullptr, static_cast<float>(i)}});
    EXPECT_EQ(pages.root({}), root);  // asked for all the time
  }
  const auto weight = pages.root({ActiveAdapter{nullptr, 5.0F}});
  EXPECT_EQ(pages.root({ActiveAdapter{nullptr, 5.0F}}), weight);
}

}  // namespace
}  // namespace rotor::runtime
