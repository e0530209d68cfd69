// Scores against log-probabilities of whole texts, each computed at once.
#include "runtime/retrieval/reranker.h"

#include <gtest/gtest.h>

#include "rotor/core/error.h"
#include "runtime/engine/perplexity.h"
#include "tests/support/chat_model.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime::retrieval {
namespace {

class RerankerTest : public ::testing::Test {
 protected:
  void open(int64_t context) {
    test::write_chat_model(dir_.file("m.rotor"), context);
    model_ = std::make_shared<LanguageModel>(dir_.file("m.rotor"));
  }
  static rag::StoredChunk chunk(const std::string& heading, const std::string& text) {
    rag::StoredChunk stored;
    stored.chunk.heading = heading;
    stored.chunk.text = text;
    return stored;
  }
  /// Of the question's tokens at the end of one text.
  double expected(const std::string& passage, const std::string& question) {
    const auto& tokenizer = *model_->tokenizer();
    const auto encoded = [&](const std::string& text) {
      return tokenizer.encode(text, text::SpecialTokens::as_text);
    };
    std::vector<text::TokenId> ids;
    if (model_->bos()) ids.push_back(*model_->bos());
    for (const auto& part : {encoded("Passage: "), encoded(passage),
                             encoded("\nPlease write a question based on this passage.\nQuestion: ")})
      ids.insert(ids.end(), part.begin(), part.end());
    const auto asked = encoded(question);
    const auto first = static_cast<int64_t>(ids.size()) - 1;
    ids.insert(ids.end(), asked.begin(), asked.end());
    double sum = 0.0;
    Session session = model_->make_session({});
    session.feed_all(std::span(ids).first(ids.size() - 1), [&](int64_t index, std::span<const float> logits) {
      if (index >= first) sum -= negative_log_likelihood(logits, ids[static_cast<size_t>(index) + 1]);
    });
    return sum / static_cast<double>(asked.size());
  }

  const test::TempDir dir_;
  std::shared_ptr<const LanguageModel> model_;
};

TEST_F(RerankerTest, ScoresAreMeanLogProbabilities) {
  open(512);
  Reranker reranker(model_);
  const std::vector<rag::StoredChunk> chunks = {chunk("", "a hive in the shed"), chunk("Bees", "they fly"),
                                                chunk("", "a hive in the shed"), chunk("", "")};
  for (const char* question : {"where is the hive?", "x", "<|end|> is text"}) {
    const auto scores = reranker(question, chunks);
    ASSERT_EQ(scores.size(), 4U);
    EXPECT_NEAR(scores[0], expected("a hive in the shed", question), 1e-3);
    EXPECT_NEAR(scores[1], expected("Bees\nthey fly", question), 1e-3);
    EXPECT_EQ(scores[2], scores[0]) << "whatever was scored before";
    EXPECT_LT(scores[0], 0.0);
  }
  EXPECT_TRUE(reranker("x", {}).empty());
}

TEST_F(RerankerTest, LongPassagesAreCutAndLongQuestionsRefused) {
  open(128);
  Reranker reranker(model_);
  std::string text;
  for (int i = 0; i < 200; ++i) text += "word ";
  const std::vector<rag::StoredChunk> chunks = {chunk("", text)};
  EXPECT_EQ(reranker("what?", chunks).size(), 1U);
  test::expect_error([&] { reranker(text, chunks); }, {"rerank", "m.rotor", "at most"});
  test::expect_error([&] { reranker("", chunks); }, {"empty"});
}

}  // namespace
}  // namespace rotor::runtime::retrieval
