#include "runtime/rag/search.h"

#include <algorithm>
#include <map>
#include <utility>

#include "rotor/core/error.h"

namespace rotor::runtime::rag {
namespace {

struct Candidate {
  int64_t chunk = 0;
  double score = 0.0;
  std::optional<Ranked> words;
  std::optional<Ranked> vectors;
  double likeness = 0.0;
};

using Candidates = std::map<int64_t, Candidate>;

void take(const std::vector<Hit>& hits, std::optional<Ranked> Candidate::*ranked, Candidates& candidates) {
  for (size_t i = 0; i < hits.size(); ++i) {
    Candidate& candidate = candidates[hits[i].chunk];
    candidate.chunk = hits[i].chunk;
    candidate.*ranked = Ranked{static_cast<int64_t>(i) + 1, hits[i].score};
  }
}

double fused(const Candidate& candidate, const SearchOptions& options) {
  const auto part = [&](const std::optional<Ranked>& ranked, double share) {
    return ranked ? share / (options.fusion_k + static_cast<double>(ranked->rank)) : 0.0;
  };
  return part(candidate.words, options.words_share) + part(candidate.vectors, 1.0 - options.words_share);
}

bool is_better(const Candidate& a, const Candidate& b) {
  return a.score > b.score || (a.score == b.score && a.chunk < b.chunk);
}

/// The first `count` by maximal marginal relevance; relevance is the score over the largest one.
std::vector<Candidate> diverse(std::vector<Candidate> ranked, size_t count, double diversity,
                               Snapshot& snapshot) {
  std::vector<int64_t> ids;
  for (const Candidate& candidate : ranked) ids.push_back(candidate.chunk);
  const std::vector<float> vectors = snapshot.vectors(ids);
  const size_t width = ranked.empty() ? 0 : vectors.size() / ranked.size();
  const double largest = ranked.empty() || ranked.front().score <= 0.0 ? 1.0 : ranked.front().score;
  std::vector<Candidate> chosen;
  std::vector<bool> is_chosen(ranked.size());
  while (chosen.size() < std::min(count, ranked.size())) {
    size_t best = ranked.size();
    double best_value = 0.0;
    for (size_t i = 0; i < ranked.size(); ++i) {
      if (is_chosen[i]) continue;
      const double value =
          (1.0 - diversity) * ranked[i].score / largest - diversity * std::max(0.0, ranked[i].likeness);
      if (best == ranked.size() || value > best_value) {
        best = i;
        best_value = value;
      }
    }
    is_chosen[best] = true;
    chosen.push_back(ranked[best]);
    const std::span<const float> its = std::span(vectors).subspan(best * width, width);
    for (size_t i = 0; i < ranked.size(); ++i) {
      if (is_chosen[i]) continue;
      ranked[i].likeness =
          std::max(ranked[i].likeness, inner_product(its, std::span(vectors).subspan(i * width, width)));
    }
  }
  return chosen;
}

std::vector<Found> fetch(std::span<const Candidate> candidates, Snapshot& snapshot, SearchMode mode) {
  std::vector<int64_t> ids;
  for (const Candidate& candidate : candidates) ids.push_back(candidate.chunk);
  std::vector<StoredChunk> chunks = snapshot.chunks(ids);
  std::vector<Found> found;
  for (size_t i = 0; i < candidates.size(); ++i) {
    const Candidate& candidate = candidates[i];
    found.push_back({std::move(chunks[i]), candidate.score, candidate.words, candidate.vectors, std::nullopt,
                     candidate.likeness});
    if (mode == SearchMode::hybrid) found.back().fused = candidate.score;
  }
  return found;
}

void rerank(const std::string& query, const SearchOptions& options, std::vector<Found>& found) {
  std::vector<StoredChunk> chunks;
  for (const Found& one : found) chunks.push_back(one.chunk);
  const std::vector<double> scores = options.rerank(query, chunks);
  if (scores.size() != found.size())
    fail("rerank: expected ", found.size(), " scores, found ", scores.size());
  for (size_t i = 0; i < found.size(); ++i) found[i].score = scores[i];
  std::ranges::stable_sort(found, [](const Found& a, const Found& b) { return a.score > b.score; });
}

}  // namespace

void SearchOptions::validate() const {
  if (count < 1) fail("search: expected at least 1 result, found ", count);
  if (candidates < count)
    fail("search: expected at least as many candidates as results, ", count, ", found ", candidates);
  if (!(words_share >= 0.0 && words_share <= 1.0))
    fail("search: share of words: expected 0 to 1, found ", words_share);
  if (!(diversity >= 0.0 && diversity <= 1.0)) fail("search: diversity: expected 0 to 1, found ", diversity);
  if (!(fusion_k >= 0.0)) fail("search: k of the fusion: expected 0 or more, found ", fusion_k);
}

std::vector<Found> search(Snapshot& snapshot, const std::string& query, const std::vector<float>& vector,
                          const SearchOptions& options) {
  options.validate();
  Candidates candidates;
  const bool by_words = options.mode != SearchMode::vectors;
  const bool by_vectors = options.mode != SearchMode::words && !vector.empty();
  if (by_words)
    take(snapshot.match_words(query, options.candidates, options.filter), &Candidate::words, candidates);
  if (by_vectors)
    take(snapshot.match_vector(vector, options.candidates, options.filter), &Candidate::vectors, candidates);
  std::vector<Candidate> ranked;
  for (auto& [chunk, candidate] : candidates) {
    candidate.score = options.mode == SearchMode::hybrid ? fused(candidate, options)
                      : candidate.words                  ? candidate.words->score
                                                         : candidate.vectors->score;
    ranked.push_back(candidate);
  }
  std::ranges::sort(ranked, is_better);
  const auto wanted =
      static_cast<size_t>(options.rerank ? std::max(options.count, options.rerank_count) : options.count);
  if (options.diversity > 0.0 && by_vectors)
    ranked = diverse(std::move(ranked), wanted, options.diversity, snapshot);
  if (ranked.size() > wanted) ranked.resize(wanted);
  std::vector<Found> found = fetch(ranked, snapshot, options.mode);
  if (options.rerank) rerank(query, options, found);
  if (found.size() > static_cast<size_t>(options.count)) found.resize(static_cast<size_t>(options.count));
  return found;
}

}  // namespace rotor::runtime::rag
