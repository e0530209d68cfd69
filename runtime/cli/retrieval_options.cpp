#include "runtime/cli/retrieval_options.h"

#include "rotor/core/error.h"
#include "rotor/tool/main.h"
#ifdef ROTOR_HAS_RAG
#include "runtime/retrieval/following_finder.h"
#include "runtime/retrieval/open_base.h"
#include "runtime/retrieval/reranker.h"
#include "runtime/retrieval/retriever.h"
#endif

namespace rotor::runtime::cli {
namespace {

constexpr std::chrono::seconds kRerankTimeout{60};  // some thousand tokens are read
#ifdef ROTOR_HAS_RAG
constexpr int64_t kRerankCount = 10;
#endif

}  // namespace

void add_retrieval_options(cxxopts::Options& options) {
  const retrieval::RetrievalOptions usual;
  options.add_options()("rag", "answer from this knowledge base (rotor rag makes them)",
                        cxxopts::value<std::string>())(
      "retrieval",
      "auto: sources if the base has something that fits and the model is unsure | always | never",
      cxxopts::value<std::string>()->default_value(retrieval::name(usual.mode)))(
      "rag-count", "most sources of an answer",
      cxxopts::value<int64_t>()->default_value(std::to_string(usual.count)))(
      "rag-budget", "most tokens that the sources of an answer take",
      cxxopts::value<int64_t>()->default_value(std::to_string(usual.budget_tokens)))(
      "rag-filter", "only documents of which this is true, as in rotor rag search --filter; may be repeated",
      cxxopts::value<std::vector<std::string>>())(
      "rag-rerank",
      "the answering model orders the ten best passages anew, which takes as long as reading them: a search "
      "may take 60 seconds instead of 10")(
      "rag-min-score", "auto: the best source must fit that well (rotor rag search shows scores)",
      cxxopts::value<double>()->default_value(cat(usual.min_score)))(
      "rag-min-entropy", "auto: the model is sure if its first tokens have less entropy (nats)",
      cxxopts::value<double>()->default_value(cat(usual.min_entropy)))(
      "embedder", "where the base's embedder is: a .rotor file or a server (default: as the base says)",
      cxxopts::value<std::string>()->default_value(""));
}

void add_watch_option(cxxopts::Options& options) {
  options.add_options()(
      "watch",
      "a file or folder that the base follows while the server runs: what comes, changes or goes "
      "there is in the base within two seconds; may be repeated",
      cxxopts::value<std::vector<std::string>>());
}

RetrievalChoice read_retrieval_options(const cxxopts::ParseResult& parsed) {
  RetrievalChoice choice;
  if (parsed.count("rag") == 0) {
    for (const char* flag : {"retrieval", "rag-count", "rag-budget", "rag-filter", "rag-rerank",
                             "rag-min-score", "rag-min-entropy", "embedder", "watch"}) {
      if (parsed.count(flag) != 0) throw tool::UsageError(cat("--", flag, ": needs a knowledge base, --rag"));
    }
    return choice;
  }
  choice.base = parsed["rag"].as<std::string>();
  if (choice.base.empty()) fail("--rag: expected the name of a knowledge base, found none");
  choice.embedder = parsed["embedder"].as<std::string>();
  if (parsed.count("watch") != 0) choice.watched = parsed["watch"].as<std::vector<std::string>>();
  const auto mode = parsed["retrieval"].as<std::string>();
  const auto known = retrieval::parse_mode(mode);
  if (!known) fail("--retrieval: expected auto, always or never, found ", mode);
  choice.options.mode = *known;
  choice.options.count = parsed["rag-count"].as<int64_t>();
  choice.options.budget_tokens = parsed["rag-budget"].as<int64_t>();
  choice.options.min_score = parsed["rag-min-score"].as<double>();
  choice.options.min_entropy = parsed["rag-min-entropy"].as<double>();
  if (parsed.count("rag-filter") != 0)
    choice.options.filter = parsed["rag-filter"].as<std::vector<std::string>>();
  choice.rerank = parsed.count("rag-rerank") != 0;
  if (choice.rerank) choice.options.timeout = kRerankTimeout;
  choice.options.validate();
  return choice;
}

#ifdef ROTOR_HAS_RAG
std::shared_ptr<const retrieval::SourceFinder> open_retrieval(
    const RetrievalChoice& choice, const LanguageModel& model, int64_t threads,
    const std::function<void(const std::string& message)>& say) {
  if (choice.base.empty()) return nullptr;
  const text::Tokenizer* tokenizer = model.tokenizer();
  if (tokenizer == nullptr) fail(model.file().path(), ": --rag needs a model with a tokenizer; found none");
  const auto count = [tokenizer](std::string_view text) {
    return std::ssize(tokenizer->encode(text, text::SpecialTokens::as_text));
  };
  const auto base =
      retrieval::open_base(choice.base, {.embedder = choice.embedder, .threads = threads, .say = say});
  retrieval::Retriever::Options options;
  if (choice.rerank) {
    // The caller keeps the model.
    const std::shared_ptr<const LanguageModel> borrowed(std::shared_ptr<void>(), &model);
    options.search.rerank = retrieval::Reranker(borrowed);
    options.search.rerank_count = kRerankCount;
  }
  auto retriever = std::make_shared<retrieval::Retriever>(base, count, std::move(options));
  retriever->check(choice.options);
  if (choice.watched.empty()) return retriever;
  rag::WatcherOptions watching;
  watching.say = say;
  return std::make_shared<retrieval::FollowingFinder>(base, std::move(retriever), choice.watched, watching);
}
#else
std::shared_ptr<const retrieval::SourceFinder> open_retrieval(
    const RetrievalChoice& choice, const LanguageModel&, int64_t,
    const std::function<void(const std::string& message)>&) {
  if (!choice.base.empty())
    fail("--rag: this program was built without retrieval: configure the build with -DROTOR_RAG=ON");
  return nullptr;
}
#endif

}  // namespace rotor::runtime::cli
