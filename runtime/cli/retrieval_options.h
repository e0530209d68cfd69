// The flags of commands that answer from a knowledge base.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "rotor/tool/options.h"
#include "runtime/engine/language_model.h"
#include "runtime/retrieval/retrieval.h"

namespace rotor::runtime::cli {

struct RetrievalChoice {
  std::string base;                  ///< its name; "": there is none
  std::string embedder;              ///< "": that which the base was made with
  std::vector<std::string> watched;  ///< files and folders that the base follows
  bool rerank = false;               ///< the answering model orders what is found
  retrieval::RetrievalOptions options;
};

/// --rag, --retrieval, --rag-count, --rag-budget, --rag-filter, --rag-rerank, --rag-min-score,
/// --rag-min-entropy, --embedder.
void add_retrieval_options(cxxopts::Options& options);
/// --watch, of programs that run for long.
void add_watch_option(cxxopts::Options& options);
/// Throws Error naming the flag, what is expected and what was found.
RetrievalChoice read_retrieval_options(const cxxopts::ParseResult& parsed);

/// Opens the base, and follows what is watched as long as the result lives; nullptr if there is none.
/// `model`, whose tokenizer counts what fits and which may order what is found, must outlive the result.
/// `threads`: of the embedder; `say`: told what a user should know. Throws Error naming the base.
std::shared_ptr<const retrieval::SourceFinder> open_retrieval(
    const RetrievalChoice& choice, const LanguageModel& model, int64_t threads,
    const std::function<void(const std::string& message)>& say);

}  // namespace rotor::runtime::cli
