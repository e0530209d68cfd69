// Which rows a step has: everyone decodes, long prompts leave room for short ones, pages go to the oldest,
// and what is computed once is not computed twice.
#include "runtime/engine/step_plan.h"

#include <gtest/gtest.h>

#include "tests/support/models.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime {
namespace {

constexpr int64_t kLongContext = 4096;
constexpr int64_t kPageTokens = 32;

class StepPlanTest : public ::testing::Test {
 protected:
  StepPlanTest() {
    ModelConfig config = test::small_transformer();
    config.transformer.max_position_embeddings = kLongContext;
    test::write_random_model(files_.file("m.rotor"), config);
    model_ = std::make_unique<LanguageModel>(files_.file("m.rotor"));
  }

  /// A text of `size` tokens that differ from the others', all of which came before it.
  TextInBatch* add(int64_t size, text::TokenId first = -1) {
    BatchRequest request;
    request.prompt.assign(static_cast<size_t>(size), 5);
    request.prompt[0] = first >= 0 ? first : static_cast<text::TokenId>(texts_.size());
    texts_.push_back(std::make_unique<TextInBatch>(std::move(request), *model_, kLongContext));
    TextInBatch* text = texts_.back().get();
    text->set_arrival(texts_.size());
    text->root = text->prefix = pages_.root({});
    running_.push_back(text);
    return text;
  }
  /// Draws a first token, as if all before were computed.
  void decode(TextInBatch* text) {
    while (std::ssize(text->pages) * kPageTokens < text->size()) text->pages.push_back(*pages_.take());
    text->computed = text->size();
    ASSERT_TRUE(text->draw(std::vector<float>(101, 1.0F)));
    ASSERT_TRUE(text->is_decoding());
  }
  StepPlan plan(const StepLimits& limits) { return plan_step(running_, running_, pages_, limits); }
  /// Rows of each text; what is computed then.
  std::vector<int64_t> step(const StepLimits& limits) {
    std::vector<int64_t> rows(texts_.size());
    for (const StepPart& part : plan(limits).parts) {
      rows[part.text->arrival() - 1] = part.rows;
      part.text->computed += part.rows;
      EXPECT_EQ(part.draws, part.text->pending() == 0);
      EXPECT_GE(std::ssize(part.text->pages) * kPageTokens, part.text->computed);
    }
    return rows;
  }

  test::TempDir files_;
  std::unique_ptr<LanguageModel> model_;
  KvPages pages_{100, kPageTokens, true};
  std::vector<std::unique_ptr<TextInBatch>> texts_;
  std::vector<TextInBatch*> running_;
};

using Rows = std::vector<int64_t>;

TEST_F(StepPlanTest, APromptAloneHasAllRows) {
  add(300);
  const StepLimits limits{.batch = 128, .prefill_chunk = 32};
  EXPECT_EQ(step(limits), Rows{128});
  EXPECT_EQ(step(limits), Rows{128});
  EXPECT_EQ(step(limits), Rows{44});
}

TEST_F(StepPlanTest, WhoDecodesGoesOnBesideALongPrompt) {
  decode(add(10));
  add(1000);
  decode(add(50));
  const StepLimits limits{.batch = 128, .prefill_chunk = 32};
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(step(limits), (Rows{1, 32, 1}));
    texts_[0]->computed -= 1;  // the next token of each
    texts_[2]->computed -= 1;
  }
}

TEST_F(StepPlanTest, ShortPromptsPassALongOne) {
  add(1000);
  add(500);
  add(20);
  add(30);
  const StepLimits limits{.batch = 128};
  EXPECT_EQ(step(limits), (Rows{64, 14, 20, 30}));
  EXPECT_EQ(texts_[2]->pending() + texts_[3]->pending(), 0);
}

TEST_F(StepPlanTest, WhatOthersLeaveGoesToTheOldest) {
  add(1000);
  add(20);
  EXPECT_EQ(step({.batch = 128}), (Rows{108, 20}));
}

TEST_F(StepPlanTest, NoMoreRowsThanABatchHas) {
  for (int i = 0; i < 5; ++i) decode(add(10));
  add(10);
  EXPECT_EQ(step({.batch = 3}), (Rows{1, 1, 1, 0, 0, 0}));
}

TEST_F(StepPlanTest, TheSameBeginningWaitsForTheOlderOne) {
  add(100, 7);
  add(90, 7);
  add(60, 8);
  EXPECT_EQ(step({.batch = 64}), (Rows{32, 0, 32}));
  // The first page is there: the younger one takes it, and waits for the next.
  pages_.publish(texts_[0]->pages[0], texts_[0]->prefix, texts_[0]->tokens().first(kPageTokens));
  texts_[0]->prefix = pages_.prefix_of(texts_[0]->pages[0]);
  ++texts_[0]->published;
  plan({.batch = 64});
  EXPECT_EQ(texts_[1]->computed, kPageTokens);
  ASSERT_FALSE(texts_[1]->pages.empty());
  EXPECT_EQ(texts_[1]->pages[0], texts_[0]->pages[0]);
  EXPECT_EQ(texts_[1]->usage().cached_tokens, kPageTokens);
}

TEST_F(StepPlanTest, TheOldestTakesThePagesOfTheYoungest) {
  pages_ = KvPages(3, kPageTokens, true);
  decode(add(31));
  decode(add(31));
  decode(add(31));
  for (const auto& text : texts_) {  // all come to the end of their page
    text->computed = text->size();
    ASSERT_TRUE(text->draw(std::vector<float>(101, 1.0F)));
  }
  const StepPlan scarce = plan({.batch = 128});
  ASSERT_EQ(scarce.preempted.size(), 1U);
  EXPECT_EQ(scarce.preempted[0], texts_[2].get());
  EXPECT_EQ(texts_[2]->computed, 0);
  EXPECT_TRUE(texts_[2]->pages.empty());
  ASSERT_EQ(scarce.parts.size(), 1U);  // the second one waits until there is a page
  EXPECT_EQ(scarce.parts[0].text, texts_[0].get());
  EXPECT_EQ(texts_[0]->pages.size(), 2U);
}

// Guesses are worth no one's pages.
TEST_F(StepPlanTest, GuessesTakeNoPagesOfOthers) {
  pages_ = KvPages(2, kPageTokens, true);
  decode(add(28));
  decode(add(28));
  while (texts_[0]->size() < 31) {  // all of them the same token, which is what comes next
    texts_[0]->computed = texts_[0]->size();
    ASSERT_TRUE(texts_[0]->draw(std::vector<float>(101, 1.0F)));
  }
  texts_[0]->computed = 30;
  texts_[0]->note_guesses(1, 1);
  texts_[0]->note_guesses(2, 2);
  const StepPlan scarce = plan({.batch = 128, .draft_tokens = 4});
  EXPECT_TRUE(scarce.preempted.empty());
  ASSERT_EQ(scarce.parts.size(), 2U);
  EXPECT_EQ(scarce.parts[0].rows, 1);
  EXPECT_LE(scarce.parts[0].guesses.size(), 1U);
}

TEST_F(StepPlanTest, APromptIsReadAsFarAsThereArePages) {
  pages_ = KvPages(3, kPageTokens, true);
  decode(add(31));
  add(300);
  EXPECT_EQ(step({.batch = 512, .prefill_chunk = 512}), (Rows{1, 2 * kPageTokens}));
}

TEST_F(StepPlanTest, GuessesLeaveARowForPrompts) {
  decode(add(28));
  while (texts_[0]->size() < 34) {
    texts_[0]->computed = texts_[0]->size();
    while (std::ssize(texts_[0]->pages) * kPageTokens < texts_[0]->size())
      texts_[0]->pages.push_back(*pages_.take());
    ASSERT_TRUE(texts_[0]->draw(std::vector<float>(101, 1.0F)));
  }
  texts_[0]->computed = texts_[0]->size() - 1;
  texts_[0]->note_guesses(4, 4);
  texts_[0]->note_guesses(8, 8);
  add(300);
  EXPECT_GT(step({.batch = 4, .draft_tokens = 8})[1], 0);
}

}  // namespace
}  // namespace rotor::runtime
