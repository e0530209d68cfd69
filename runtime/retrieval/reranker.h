// Passages ordered by a language model: by how likely it finds the question behind each of them.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/engine/language_model.h"
#include "runtime/rag/store.h"

namespace rotor::runtime::retrieval {

class Reranker {
 public:
  /// Throws Error if the model has no tokenizer.
  explicit Reranker(std::shared_ptr<const LanguageModel> model);

  /// The mean log-probability (nats) of the question's tokens behind each passage, higher is better: Sachan
  /// et al. 2022, "Improving passage retrieval with zero-shot question generation", equation 1. Of a passage
  /// that the model cannot read whole beside the question, its beginning. Throws Error for a question that
  /// leaves no room for a passage. Its shape is SearchOptions::rerank. Each call has a session of its own, so
  /// several threads may call.
  std::vector<double> operator()(const std::string& question, std::span<const rag::StoredChunk> chunks) const;

 private:
  std::vector<text::TokenId> tokens_of(const std::string& text) const;

  std::shared_ptr<const LanguageModel> model_;
};

}  // namespace rotor::runtime::retrieval
