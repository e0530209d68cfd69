#include "runtime/retrieval/reranker.h"

#include <algorithm>

#include "rotor/core/error.h"
#include "runtime/engine/perplexity.h"

namespace rotor::runtime::retrieval {
namespace {

constexpr const char* kBefore = "Passage: ";
constexpr const char* kBehind = "\nPlease write a question based on this passage.\nQuestion: ";
constexpr int64_t kLeastPassage = 16;  // tokens that a passage needs to say anything

}  // namespace

Reranker::Reranker(std::shared_ptr<const LanguageModel> model) : model_(std::move(model)) {
  if (model_->tokenizer() == nullptr)
    fail(model_->file().path(), ": the file holds no tokenizer: passages cannot be ordered by it");
}

std::vector<text::TokenId> Reranker::tokens_of(const std::string& text) const {
  return model_->tokenizer()->encode(text, text::SpecialTokens::as_text);
}

std::vector<double> Reranker::operator()(const std::string& question,
                                         std::span<const rag::StoredChunk> chunks) const {
  std::vector<text::TokenId> before = tokens_of(kBefore);
  if (const auto bos = model_->bos(); bos && (before.empty() || before.front() != *bos))
    before.insert(before.begin(), *bos);
  const std::vector<text::TokenId> behind = tokens_of(kBehind);
  const std::vector<text::TokenId> asked = tokens_of(question);
  const int64_t context = model_->config().max_position_embeddings;
  const int64_t room = context - std::ssize(before) - std::ssize(behind) - std::ssize(asked);
  if (asked.empty()) fail("rerank: expected a question, found an empty text");
  if (room < kLeastPassage) {
    fail("rerank: expected a question of at most ", std::ssize(asked) + room - kLeastPassage, " tokens for ",
         model_->file().path(), ", found ", asked.size());
  }
  std::vector<std::vector<text::TokenId>> passages;
  size_t longest = 0;
  for (const rag::StoredChunk& stored : chunks) {
    passages.push_back(tokens_of(rag::full_text(stored.chunk)));
    passages.back().resize(std::min(passages.back().size(), static_cast<size_t>(room)));
    longest = std::max(longest, passages.back().size());
  }
  // A cache for the longest of them: that of a model's whole context may take as much memory as the model.
  Session session = model_->make_session({.context = context - room + static_cast<int64_t>(longest)});
  std::vector<double> scores;
  for (const std::vector<text::TokenId>& passage : passages) {
    // What stands before all passages is computed once.
    std::vector<text::TokenId> prompt = before;
    prompt.insert(prompt.end(), passage.begin(), passage.end());
    prompt.insert(prompt.end(), behind.begin(), behind.end());
    const size_t kept = session.position() == 0 ? 0 : before.size();
    session.rewind(static_cast<int64_t>(kept));
    double sum = negative_log_likelihood(session.feed(std::span(prompt).subspan(kept)), asked.front());
    if (asked.size() > 1) {
      session.feed_all(std::span(asked).first(asked.size() - 1),
                       [&](int64_t index, std::span<const float> logits) {
                         sum += negative_log_likelihood(logits, asked[static_cast<size_t>(index) + 1]);
                       });
    }
    scores.push_back(-sum / static_cast<double>(asked.size()));
  }
  return scores;
}

}  // namespace rotor::runtime::retrieval
