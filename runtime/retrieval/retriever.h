// Sources for a question, if they are needed: a knowledge base is searched, and what it has and how sure the
// model is without it decide.
//
//   That a model's own uncertainty tells when to look things up: Jiang et al. 2023, arXiv:2305.06983 (FLARE),
//   there by the probability of each token; here by the mean entropy of the first ones.
#pragma once

#include <memory>

#include "runtime/rag/knowledge_base.h"
#include "runtime/retrieval/retrieval.h"
#include "runtime/retrieval/search_threads.h"

namespace rotor::runtime::retrieval {

class Retriever final : public SourceFinder {
 public:
  struct Options {
    rag::SearchOptions search = {};  ///< count and filter are a request's; several threads may call rerank
    int64_t threads = 2;             ///< searches that run at once
    int64_t queue = 64;              ///< that may wait
  };
  /// `count`: of the model that will read the sources; called by several threads.
  Retriever(std::shared_ptr<const rag::KnowledgeBase> base, rag::CountTokens count, Options options);

  /// never: nothing is searched. always: what the search finds. automatic: nothing if the best score is below
  /// min_score, nor if the uncertainty, which is asked for only then, is below min_entropy.
  Retrieval retrieve(const RetrievalRequest& request) const override;
  void check(const RetrievalOptions& options) const override;

 private:
  rag::SearchOptions search_options(const RetrievalOptions& options) const;

  std::shared_ptr<const rag::KnowledgeBase> base_;
  rag::CountTokens count_;
  Options options_;
  std::unique_ptr<SearchThreads> threads_;
};

}  // namespace rotor::runtime::retrieval
