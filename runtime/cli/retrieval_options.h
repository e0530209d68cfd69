// The flags of commands that answer from a knowledge base.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "rotor/tool/options.h"
#include "runtime/engine/language_model.h"
#include "runtime/retrieval/retrieval.h"

namespace rotor::runtime::cli {

struct RetrievalChoice {
  std::string base;      ///< its name; "": there is none
  std::string embedder;  ///< "": that which the base was made with
  retrieval::RetrievalOptions options;
};

/// --rag, --retrieval, --rag-count, --rag-budget, --rag-filter, --rag-min-score, --rag-min-entropy,
/// --embedder.
void add_retrieval_options(cxxopts::Options& options);
/// Throws Error naming the flag, what is expected and what was found.
RetrievalChoice read_retrieval_options(const cxxopts::ParseResult& parsed);

/// Opens the base; nullptr if there is none. `model`, whose tokenizer counts what fits, must outlive the
/// result. `threads`: of the embedder; `say`: told what a user should know. Throws Error naming the base.
std::shared_ptr<const retrieval::SourceFinder> open_retrieval(
    const RetrievalChoice& choice, const LanguageModel& model, int64_t threads,
    const std::function<void(const std::string& message)>& say);

}  // namespace rotor::runtime::cli
