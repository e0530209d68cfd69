// The cheap question comes first: a search takes milliseconds, the model's own answer some tokens.
#include "runtime/retrieval/retriever.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>

#include "rotor/core/error.h"
#include "runtime/retrieval/context.h"
#include "runtime/retrieval/relevance.h"

namespace rotor::runtime::retrieval {
namespace {

/// Of a fused ranking even the first few may have been found by words alone: among so many there is one with
/// a cosine.
constexpr int64_t kLeastFound = 10;

std::string rounded(const char* form, double value) {
  char text[64];
  std::snprintf(text, sizeof(text), form, value);
  return text;
}

/// `failure` up to where it begins to repeat the question, as that of an embedding server may which sends
/// back what it was sent: what people ask is in no log.
std::string without_question(const std::string& failure, const std::string& question) {
  constexpr size_t kTelling = 12;  // bytes in a row that are no chance
  size_t end = failure.size();
  const size_t size = std::min(kTelling, question.size());
  for (size_t i = 0; i + size <= question.size(); ++i)
    end = std::min(end, failure.find(std::string_view(question).substr(i, size)));
  return end == failure.size() ? failure : failure.substr(0, end) + "(the question)";
}

std::vector<FoundSource> with_scores(std::vector<rag::Found> found, const std::string& question,
                                     bool has_vectors) {
  std::vector<FoundSource> scored;
  for (rag::Found& one : found) {
    std::optional<double> score;
    if (one.vectors) score = one.vectors->score;
    if (!has_vectors)
      score = share_of_words(question, one.chunk.document.title + "\n" + rag::full_text(one.chunk.chunk));
    scored.push_back({std::move(one.chunk), score});
  }
  return scored;
}

}  // namespace

Retriever::Retriever(std::shared_ptr<const rag::KnowledgeBase> base, rag::CountTokens count, Options options)
    : base_(std::move(base)),
      count_(std::move(count)),
      options_(std::move(options)),
      threads_(std::make_unique<SearchThreads>(options_.threads, options_.queue)) {}

rag::SearchOptions Retriever::search_options(const RetrievalOptions& options) const {
  rag::SearchOptions search = options_.search;
  search.count = std::max(options.count, kLeastFound);
  search.candidates = std::max(search.candidates, search.count);
  for (const std::string& condition : options.filter)
    search.filter.push_back(rag::parse_condition(condition));
  return search;
}

void Retriever::check(const RetrievalOptions& options) const {
  options.validate();
  search_options(options).validate();
}

Retrieval Retriever::retrieve(const RetrievalRequest& request) const {
  const RetrievalOptions& options = request.options;
  Retrieval result;
  const auto end = [&](Outcome outcome, std::string reason) {
    result.outcome = outcome;
    result.reason = std::move(reason);
    return result;
  };
  if (options.mode == Mode::never) return end(Outcome::never, "never, as set");
  if (request.question.empty()) return end(Outcome::never, "there is no question");
  const bool has_vectors = !base_->store().config().embedder.empty();
  const auto start = std::chrono::steady_clock::now();
  std::vector<FoundSource> found;
  try {
    auto search = [base = base_, question = request.question, wanted = search_options(options)] {
      return base->search(question, wanted);
    };
    found = with_scores(threads_->run(std::move(search), options.timeout, request.keep_going),
                        request.question, has_vectors);
  } catch (const std::exception& e) {
    result.failure = without_question(e.what(), request.question);
  }
  result.search_ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
  if (!result.failure.empty()) return end(Outcome::failed, "the knowledge base could not be searched");
  if (found.empty()) return end(Outcome::nothing, "nothing was found");

  const double best = std::ranges::max_element(found, {}, &FoundSource::score)->score.value_or(0.0);
  std::string why = rounded("score %.2f", best);
  if (options.mode == Mode::automatic) {
    if (best < options.min_score)
      return end(Outcome::irrelevant, why + rounded(" below %.2f", options.min_score));
    const std::optional<double> entropy = request.uncertainty ? request.uncertainty() : std::nullopt;
    if (entropy && *entropy < options.min_entropy)
      return end(Outcome::sure, rounded("the model is sure (%.1f nats)", *entropy));
    if (entropy) why += rounded(", the model is unsure (%.1f nats)", *entropy);
  }
  found.resize(std::min(found.size(), static_cast<size_t>(options.count)));
  Context context = make_context(std::move(found), options.budget_tokens, count_);
  if (context.sources.empty())
    return end(Outcome::no_room, cat("no source fits ", options.budget_tokens, " tokens"));
  result.sources = std::move(context.sources);
  result.context = std::move(context.text);
  return end(Outcome::used, why);
}

}  // namespace rotor::runtime::retrieval
