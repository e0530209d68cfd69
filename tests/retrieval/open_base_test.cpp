// Bases with the models that make their vectors.
#include "runtime/retrieval/open_base.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "rotor/core/error.h"
#include "runtime/rag/files/origin.h"
#include "runtime/retrieval/model_embedder.h"
#include "tests/rag/rag_fixture.h"
#include "tests/support/chat_model.h"
#include "tests/support/encoders.h"

namespace rotor::runtime::retrieval {
namespace {

using test::expect_error;

class OpenBaseTest : public ::testing::Test {
 protected:
  OpenBaseTest() { test::write_golden_encoder(encoder_); }

  std::shared_ptr<rag::KnowledgeBase> create(const std::string& embedder,
                                             rag::ChunkOptions chunks = {.max_tokens = 0}) {
    return create_base(base_, {.embedder = embedder, .threads = 1, .say = {}}, chunks);
  }
  std::shared_ptr<rag::KnowledgeBase> open(const std::string& embedder = "") {
    return open_base(base_, {.embedder = embedder, .threads = 1, .say = {}});
  }

  const test::TempDir dir_;
  const std::string encoder_ = rag::absolute_path(dir_.file("encoder.rotor"));
  const std::string base_ = dir_.file("base.db");
};

TEST_F(OpenBaseTest, FindsItsEmbedderAgain) {
  EXPECT_FALSE(has_base(base_, {}));
  {
    const auto base = create(encoder_);
    EXPECT_EQ(base->store().config().dimensions, model_embedder(encoder_, 1)->dimensions());
    EXPECT_EQ(base->store().config().chunks.max_tokens, 22) << "24, less [CLS] and [SEP]";
    base->put(test::document_of("bees", "Bees make honey."));
    base->put(test::document_of("tax", "Forms of the tax office."));
  }
  EXPECT_TRUE(has_base(base_, {}));
  const auto found = open()->search("Bees make honey.", {.mode = rag::SearchMode::vectors, .count = 1});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].chunk.document.id, "bees");
  EXPECT_NEAR(found[0].score, 1.0, 1e-5);
}

TEST_F(OpenBaseTest, AnotherEmbedderIsRefused) {
  create(encoder_);
  const std::string other = dir_.file("other.rotor");
  test::write_golden_encoder(other, DenseType::q8, DenseType::q8);
  expect_error([&] { open(other); }, {base_, "encoder ", "cannot be compared"});
  std::filesystem::rename(encoder_, dir_.file("moved.rotor"));
  expect_error([&] { open(); }, {base_, encoder_, "--embedder says where it is now"});
  EXPECT_NO_THROW(open(dir_.file("moved.rotor")));
}

TEST_F(OpenBaseTest, WordsAlone) {
  EXPECT_EQ(create("")->store().config().chunks.max_tokens, 256);
  const auto base = open();
  base->put(test::document_of("bees", "Bees make honey."));
  EXPECT_EQ(base->search("honey", {.mode = rag::SearchMode::words}).size(), 1U);
  expect_error([&] { base->search("honey", {.mode = rag::SearchMode::vectors}); }, {"no vectors"});
  expect_error([&] { open(encoder_); }, {base_, "words alone", encoder_});
}

TEST_F(OpenBaseTest, WhatCannotBeMade) {
  expect_error([&] { create(encoder_, {.max_tokens = 23}); }, {base_, "at most 22", "found 23"});
  expect_error([&] { create(dir_.file("none.rotor")); }, {"none.rotor"});
  EXPECT_FALSE(has_base(base_, {})) << "nothing is left of what failed";
  create(encoder_);
  expect_error([&] { create(encoder_); }, {base_, "exists"});
  expect_error([&] { open_base(dir_.file("none.db"), {}); }, {"none.db", "no such knowledge base"});
}

TEST_F(OpenBaseTest, LanguageModelsMakeVectors) {
  const std::string model = dir_.file("chat.rotor");
  test::write_chat_model(model, 64);
  const auto embedder = model_embedder(model, 1);
  const std::vector<std::string> texts = {"a b c", "", "a b c"};
  const auto vectors = embedder->embed(texts, {});
  const auto width = static_cast<size_t>(embedder->dimensions());
  ASSERT_EQ(vectors.size(), 3 * width);
  EXPECT_TRUE(std::equal(vectors.begin(), vectors.begin() + static_cast<std::ptrdiff_t>(width),
                         vectors.begin() + static_cast<std::ptrdiff_t>(2 * width)));
  EXPECT_TRUE(embedder->id().starts_with("language model "));
  EXPECT_NE(embedder->id(), model_embedder(encoder_, 1)->id());
  EXPECT_EQ(embedder->count_tokens(""), 0);
  // Longer than the model reads: the vector is that of its beginning.
  std::string longer;
  while (embedder->count_tokens(longer) <= embedder->max_tokens()) longer += "many words and more ";
  EXPECT_EQ(embedder->embed(std::vector<std::string>{longer}, {}).size(), width);
  expect_error([&] { embedder->embed(texts, [] { return false; }); }, {"stopped"});
}

}  // namespace
}  // namespace rotor::runtime::retrieval
