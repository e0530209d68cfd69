// What a model makes of sources: questions whose answers and documents are known, asked with and without
// retrieval, answered greedily as by `rotor chat --temp 0`. docs/benchmarks-retrieval.md holds results.
//
//   rag_answers MODEL.rotor BASE QUESTIONS.jsonl [--limit 100] [--json]      --help lists all flags
//
// right: the words of a known answer, normalized as SQuAD does, stand in what the model says; numbers in
// brackets do not count as words. retrieved: the right passage is among the sources; cited: and the answer
// names it. A model that did nothing but say [1] would be right in citing as often as first_is_right says.
#include <cstdio>
#include <regex>
#include <string>
#include <vector>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/tool/interrupt.h"
#include "rotor/tool/options.h"
#include "rotor/tool/progress.h"
#include "runtime/chat/chat.h"
#include "runtime/retrieval/citations.h"
#include "runtime/retrieval/open_base.h"
#include "runtime/retrieval/question.h"
#include "runtime/retrieval/question_set.h"
#include "runtime/retrieval/retriever.h"

namespace {

using namespace rotor;
using namespace rotor::runtime;
using retrieval::AnsweredQuestion;

struct Counts {
  int64_t questions = 0;
  int64_t retrieved = 0;
  int64_t first_is_right = 0;
  int64_t cited = 0;        // retrieved, and named by the answer
  int64_t wrong_cited = 0;  // answers that name a source which is not right
  int64_t none_cited = 0;
  int64_t right_with = 0;
  int64_t right_without = 0;
};

std::string without_citations(const std::string& answer) {
  return std::regex_replace(answer, std::regex(R"(\[[0-9,; ]*\])"), " ");
}

class Measurement {
 public:
  Measurement(const LanguageModel& model, text::ChatTemplate chat_template,
              const retrieval::Retriever& retriever, const retrieval::RightSources& right,
              const retrieval::RetrievalOptions& options, int64_t max_new_tokens)
      : model_(model),
        chat_(model, std::move(chat_template), {}),
        retriever_(retriever),
        right_(right),
        options_(options),
        max_new_tokens_(max_new_tokens) {}

  /// False if it was interrupted; then nothing is counted.
  bool ask(const AnsweredQuestion& question, bool show) {
    const std::string alone = answer(question.question, false);
    const std::string answered = answer(question.question, true);
    if (tool::interrupted()) return false;
    if (!found_.failure.empty()) fail(question.where, ": ", found_.reason, ": ", found_.failure);
    const auto right = right_.of(question, found_.sources);
    const auto cited = retrieval::cited_sources(answered, std::ssize(found_.sources));
    const auto is_right = [&](int64_t number) { return std::ranges::find(right, number) != right.end(); };
    ++counts.questions;
    counts.retrieved += right.empty() ? 0 : 1;
    counts.first_is_right += is_right(1) ? 1 : 0;
    counts.cited += std::ranges::any_of(cited, is_right) ? 1 : 0;
    counts.wrong_cited += std::ranges::all_of(cited, is_right) ? 0 : 1;
    counts.none_cited += cited.empty() ? 1 : 0;
    counts.right_with += retrieval::has_answer(without_citations(answered), question.answers) ? 1 : 0;
    counts.right_without += retrieval::has_answer(without_citations(alone), question.answers) ? 1 : 0;
    if (show) {
      std::fprintf(stderr, "%s\n  known:   %s, source %s\n  with:    %s\n  without: %s\n",
                   tool::printable(question.question).c_str(),
                   tool::printable(question.answers.front()).c_str(),
                   right.empty() ? "none" : cat(right.front()).c_str(), tool::printable(answered).c_str(),
                   tool::printable(alone).c_str());
    }
    return true;
  }

  Counts counts;

 private:
  std::string answer(const std::string& question, bool with_sources) {
    chat_.reset();
    Sampler sampler({.temperature = 0.0}, model_.vocab_size());
    GenerateOptions options;
    options.max_new_tokens = max_new_tokens_;
    options.on_prompt = [](int64_t) { return !tool::interrupted(); };
    options.on_token = [](text::TokenId) { return !tool::interrupted(); };
    Chat::MakeContext make_context;
    if (with_sources) make_context = [&] { return find_context(); };
    return chat_.ask(question, sampler, options, make_context).generated.text;
  }

  std::string find_context() {
    retrieval::RetrievalRequest request;
    request.question = retrieval::search_question(chat_.messages());
    request.options = options_;
    request.options.budget_tokens = std::min(options_.budget_tokens, chat_.room_for_context(max_new_tokens_));
    found_ = retriever_.retrieve(request);
    return found_.context;
  }

  const LanguageModel& model_;
  Chat chat_;
  const retrieval::Retriever& retriever_;
  const retrieval::RightSources& right_;
  retrieval::RetrievalOptions options_;
  int64_t max_new_tokens_;
  retrieval::Retrieval found_;
};

/// At most `limit` of them, evenly.
std::vector<AnsweredQuestion> some_of(const std::vector<AnsweredQuestion>& all, int64_t limit) {
  const int64_t count = limit > 0 ? std::min<int64_t>(limit, std::ssize(all)) : std::ssize(all);
  std::vector<AnsweredQuestion> some;
  for (int64_t i = 0; i < count; ++i) some.push_back(all[static_cast<size_t>(i * std::ssize(all) / count)]);
  return some;
}

void print(const Counts& counts, double seconds, bool as_json) {
  const auto share = [&](int64_t count) {
    return counts.questions == 0 ? 0.0 : static_cast<double>(count) / static_cast<double>(counts.questions);
  };
  const std::pair<const char*, int64_t> figures[] = {
      {"retrieved", counts.retrieved},        {"first_is_right", counts.first_is_right},
      {"retrieved_and_cited", counts.cited},  {"wrong_cited", counts.wrong_cited},
      {"none_cited", counts.none_cited},      {"right_with_retrieval", counts.right_with},
      {"right_without", counts.right_without}};
  Json json = {{"questions", counts.questions}, {"seconds", seconds}};
  for (const auto& [name, count] : figures) {
    json[name] = share(count);
    if (!as_json)
      std::printf("%-22s %6.1f %%  (%lld of %lld)\n", name, 100.0 * share(count),
                  static_cast<long long>(count), static_cast<long long>(counts.questions));
  }
  if (as_json) std::printf("%s\n", dump_json(json).c_str());
}

int run(int argc, char** argv) {
  cxxopts::Options options("rag_answers", "Answers of a model with and without sources, against known ones.");
  options.add_options()("model", "a .rotor file", cxxopts::value<std::string>())(
      "base", "a knowledge base", cxxopts::value<std::string>())(
      "questions", "JSON lines, as rotor rag prompts reads them", cxxopts::value<std::string>())(
      "limit", "so many of the questions, evenly; 0: all", cxxopts::value<int64_t>()->default_value("0"))(
      "show", "print so many of the answers", cxxopts::value<int64_t>()->default_value("0"))(
      "n,predict", "tokens of an answer at most", cxxopts::value<int64_t>()->default_value("48"))(
      "rag-count", "most sources of an answer", cxxopts::value<int64_t>()->default_value("5"))(
      "rag-budget", "most tokens that they take", cxxopts::value<int64_t>()->default_value("1024"))(
      "embedder", "where the base's embedder is", cxxopts::value<std::string>()->default_value(""))(
      "t,threads", "threads", cxxopts::value<int64_t>()->default_value("0"))("json", "print JSON");
  const auto parsed = tool::parse_options(options, argc, argv, {"model", "base", "questions"},
                                          "  rag_answers model.rotor notes.db questions.jsonl --limit 100\n");
  if (!parsed) return 0;
  const auto number = [&](const char* name) { return (*parsed)[name].as<int64_t>(); };
  const auto text = [&](const char* name) { return (*parsed)[name].as<std::string>(); };
  retrieval::RetrievalOptions sources;
  sources.mode = retrieval::Mode::always;
  sources.count = number("rag-count");
  sources.budget_tokens = number("rag-budget");
  sources.validate();
  const auto questions = some_of(retrieval::read_questions(text("questions")), number("limit"));
  const LanguageModel model(text("model"), LanguageModelOptions{.threads = number("threads")});
  auto chat_template = model.chat_template();
  if (!chat_template || model.tokenizer() == nullptr)
    fail(text("model"), ": expected a model with a tokenizer and a chat template");
  const auto count = [tokenizer = model.tokenizer()](std::string_view part) {
    return std::ssize(tokenizer->encode(part, text::SpecialTokens::as_text));
  };
  const auto base = retrieval::open_base(
      text("base"), {.embedder = text("embedder"), .threads = number("threads"), .say = {}});
  const retrieval::RightSources right(base->store(), questions);
  const retrieval::Retriever retriever(base, count, {});
  Measurement measurement(model, *std::move(chat_template), retriever, right, sources, number("predict"));
  tool::catch_interrupts();
  tool::Progress progress("answers", std::ssize(questions));
  for (const AnsweredQuestion& question : questions) {
    if (!measurement.ask(question, measurement.counts.questions < number("show"))) break;
    const int64_t done = measurement.counts.questions;
    progress.update(done, cat(done, "/", questions.size(), " questions, ", measurement.counts.cited,
                              " cited, ", tool::duration_text(progress.remaining_seconds(done)), " left"));
  }
  const double seconds = progress.elapsed_seconds();
  progress.finish(
      cat(tool::count_text(measurement.counts.questions, "question"), " in ", tool::duration_text(seconds)));
  print(measurement.counts, seconds, parsed->count("json") != 0);
  return tool::interrupted() ? tool::kInterruptedStatus : 0;
}

}  // namespace

int main(int argc, char** argv) {
  return rotor::tool::run_guarded("rag_answers", [&] { return run(argc, argv); });
}
