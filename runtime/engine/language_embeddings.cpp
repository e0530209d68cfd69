// Texts are given to a Batcher, some ahead of the one that is waited for.
#include "runtime/engine/language_embeddings.h"

#include <algorithm>
#include <cmath>
#include <deque>

#include "rotor/core/error.h"

namespace rotor::runtime {
namespace {

constexpr size_t kAhead = 32;

std::vector<text::TokenId> prompt_of(const LanguageModel& model, const std::string& text, size_t number) {
  auto ids = model.tokenizer()->encode(text, text::SpecialTokens::as_text);
  const auto bos = model.bos();
  if (bos && (ids.empty() || ids.front() != *bos)) ids.insert(ids.begin(), *bos);
  if (ids.empty()) fail("text ", number, ": expected at least one token, found none");
  if (std::ssize(ids) > model.config().max_position_embeddings) {
    fail("text ", number, ": expected at most ", model.config().max_position_embeddings,
         " tokens (max_position_embeddings of the model), found ", ids.size());
  }
  return ids;
}

}  // namespace

std::vector<float> embed_by_language_model(const LanguageModel& model, const SessionOptions& session,
                                           std::span<const std::string> texts,
                                           const EmbeddingModel::KeepGoing& keep_going,
                                           std::vector<EmbeddedText>* details, size_t first_number) {
  if (model.tokenizer() == nullptr) fail(model.file().path(), ": the file holds no tokenizer");
  std::vector<float> vectors;
  std::vector<EmbeddedText> seen;
  std::vector<std::vector<text::TokenId>> prompts;
  int64_t longest = 1;
  for (size_t i = 0; i < texts.size(); ++i) {
    prompts.push_back(prompt_of(model, texts[i], first_number + i));
    longest = std::max<int64_t>(longest, std::ssize(prompts.back()));
  }
  if (!texts.empty()) {
    BatcherOptions options;
    options.session = session;
    options.session.context = longest;
    Batcher batcher(model, options);
    std::deque<std::shared_ptr<BatchText>> begun;
    bool goes_on = true;
    for (size_t next = 0, done = 0; goes_on && done < texts.size(); ++done) {
      for (; next < texts.size() && begun.size() < kAhead; ++next) {
        seen.push_back({.tokens = std::ssize(prompts[next]), .cut = false});
        BatchRequest request;
        request.prompt = std::move(prompts[next]);
        request.max_new_tokens = 0;
        request.embed = true;
        request.adapters = model.adapters();
        begun.push_back(batcher.submit(std::move(request)));
      }
      BatchProgress progress;
      do {
        progress = begun.front()->wait(std::chrono::milliseconds(100));
        goes_on = !keep_going || keep_going(static_cast<int64_t>(done) + (progress.finished ? 1 : 0));
      } while (!progress.finished && goes_on);
      if (!progress.finished) break;
      if (!progress.error.empty()) fail("text ", first_number + done, ": ", progress.error);
      if (!std::ranges::all_of(progress.embedding, [](float value) { return std::isfinite(value); })) {
        fail(model.file().path(), ": vector of text ", first_number + done,
             ": expected finite numbers, found others: see `rotor verify`, or export the model anew");
      }
      vectors.insert(vectors.end(), progress.embedding.begin(), progress.embedding.end());
      begun.pop_front();
    }
  }
  model.file().check_intact();
  seen.resize(vectors.size() / static_cast<size_t>(model.config().hidden_size));
  if (details != nullptr) *details = std::move(seen);
  return vectors;
}

}  // namespace rotor::runtime
