// Finds chunks by words and by vectors, and joins what both found.
//
//   Reciprocal rank fusion: Cormack, Clarke, Buettcher 2009, "Reciprocal rank fusion outperforms Condorcet
//   and individual rank learning methods", equation 1. Maximal marginal relevance: Carbonell, Goldstein 1998,
//   "The use of MMR, diversity-based reranking", section 2.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "runtime/rag/embedder.h"
#include "runtime/rag/store.h"

namespace rotor::runtime::rag {

enum class SearchMode { hybrid, words, vectors };

struct SearchOptions {
  SearchMode mode = SearchMode::hybrid;
  int64_t count = 5;        ///< chunks that are wanted
  int64_t candidates = 50;  ///< that each of both searches brings in
  Filter filter;
  double fusion_k = 60.0;    ///< the rank at which a chunk counts half as much as the first nearly does
  double words_share = 0.5;  ///< of the fused score, 0 to 1
  double diversity = 0.0;  ///< 1 - lambda of maximal marginal relevance; 0: the best, however alike they are
  /// Scores of chunks for the query, higher is better, by which the best `rerank_count` are ordered anew;
  /// empty: none.
  std::function<std::vector<double>(const std::string& query, std::span<const StoredChunk> chunks)> rerank;
  int64_t rerank_count = 20;

  /// Throws Error naming what is wrong.
  void validate() const;
};

struct Ranked {
  int64_t rank = 0;  ///< 1 is the best
  double score = 0.0;
};

struct Found {
  StoredChunk chunk;
  double score = 0.0;             ///< by which the results are ordered: fused, or the reranker's
  std::optional<Ranked> words;    ///< BM25
  std::optional<Ranked> vectors;  ///< cosine
  std::optional<double> fused;
  double likeness = 0.0;  ///< cosine with the most alike of those before it, if diversity was asked for
};

/// `vector`: of the query; empty if the base has none, or none is needed. At most options.count, the best
/// first.
std::vector<Found> search(Snapshot& snapshot, const std::string& query, const std::vector<float>& vector,
                          const SearchOptions& options);

}  // namespace rotor::runtime::rag
