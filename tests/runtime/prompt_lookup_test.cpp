#include "runtime/engine/prompt_lookup.h"

#include <gtest/gtest.h>

namespace rotor::runtime {
namespace {

using Tokens = std::vector<text::TokenId>;

TEST(PromptLookupTest, WhatCameAfterTheLatestLikePlace) {
  const Tokens text = {1, 2, 3, 10, 11, 5, 1, 2, 3, 20, 21, 22, 9, 1, 2, 3};
  EXPECT_EQ(guess_next_tokens(text, 3), (Tokens{20, 21, 22}));
  EXPECT_EQ(guess_next_tokens(text, 1), (Tokens{20}));
  EXPECT_EQ(guess_next_tokens(text, 0), Tokens());
  EXPECT_EQ(guess_next_tokens(text, 100), (Tokens{20, 21, 22, 9, 1, 2, 3}));
}

TEST(PromptLookupTest, ThreeTokensTellMoreThanTwo) {
  EXPECT_EQ(guess_next_tokens(Tokens{7, 2, 3, 30, 5, 2, 3, 40, 7, 2, 3}, 1), (Tokens{30}));
  EXPECT_EQ(guess_next_tokens(Tokens{7, 2, 3, 30, 5, 2, 3, 40, 8, 2, 3}, 1), (Tokens{40}));
}

TEST(PromptLookupTest, NothingForWhatIsNew) {
  EXPECT_EQ(guess_next_tokens(Tokens{1, 2, 3, 4, 3}, 4), Tokens());
  EXPECT_EQ(guess_next_tokens(Tokens{1, 2}, 4), Tokens());
  EXPECT_EQ(guess_next_tokens(Tokens{}, 4), Tokens());
}

TEST(PromptLookupTest, RepetitionsThatOverlap) {
  EXPECT_EQ(guess_next_tokens(Tokens{5, 5, 5, 5}, 4), (Tokens{5}));
}

}  // namespace
}  // namespace rotor::runtime
