// rotor rag prompts: what a model sees that answers from sources, with the answers that it is to give.
#include <cstdio>
#include <memory>

#include "rotor/core/error.h"
#include "rotor/formats/ordered_json.h"
#include "rotor/text/chat_messages.h"
#include "rotor/text/tokenizer.h"
#include "rotor/tool/interrupt.h"
#include "rotor/tool/progress.h"
#include "runtime/cli/rag/rag_commands.h"
#include "runtime/retrieval/question.h"
#include "runtime/retrieval/question_set.h"
#include "runtime/retrieval/retriever.h"

namespace rotor::runtime::cli {
namespace {

using retrieval::AnsweredQuestion;

constexpr const char* kRagPromptsExamples =
    "  rotor rag prompts notes.db questions.jsonl > chats.jsonl        data.type: chat of rotor-train reads "
    "it\n"
    "  rotor rag prompts notes.db questions.jsonl --model model.rotor --count 3 --budget 600 > chats.jsonl\n"
    "  echo '{\"question\": \"Where is the key?\", \"answer\": \"Behind the door\", \"document\": "
    "\"garden.txt\"}' "
    "> questions.jsonl\n";

rag::CountTokens read_count(const cxxopts::ParseResult& parsed) {
  if (parsed.count("model") == 0) return rag::estimate_tokens;
  const std::shared_ptr<text::Tokenizer> tokenizer = text::load_tokenizer(parsed["model"].as<std::string>());
  return [tokenizer](std::string_view text) {
    return std::ssize(tokenizer->encode(text, text::SpecialTokens::as_text));
  };
}

OrderedJson user_message(const std::string& text) {
  return {{"role", "user"}, {"content", text}};
}

/// What the model is to say: the answer, and where it stands.
void print_row(const AnsweredQuestion& question, OrderedJson messages, int64_t source) {
  messages.push_back({{"role", "assistant"}, {"content", cat(question.answers.front(), " [", source, "]")}});
  const OrderedJson row = {{"messages", std::move(messages)}};
  std::printf("%s\n", row.dump(-1, ' ', false, OrderedJson::error_handler_t::replace).c_str());
  if (std::ferror(stdout) != 0) fail("cannot write to standard output");
}

/// What became of the questions.
struct Counts {
  int64_t rows = 0;
  int64_t first = 0;    // of these, that have the answer in the first source
  int64_t without = 0;  // left out: no source holds the answer
  int64_t empty = 0;    // left out: there is no source at all
  int64_t done() const { return rows + without + empty; }
  std::string text() const {
    std::string text =
        cat(tool::count_text(rows, "row"), ", ", first, " of them with the answer in source [1]");
    if (without > 0) text += cat("; ", without, " left out: no source has the answer");
    if (empty > 0) text += cat("; ", empty, " left out: nothing was found, or nothing fits --budget");
    return text;
  }
};

void make_row(const retrieval::Retriever& retriever, const retrieval::RightSources& right,
              const AnsweredQuestion& question, retrieval::RetrievalRequest request, Counts& counts) {
  OrderedJson messages = OrderedJson::array({user_message(question.question)});
  request.question = retrieval::search_question(messages);
  const retrieval::Retrieval found = retriever.retrieve(request);
  if (tool::interrupted()) return;
  if (!found.failure.empty()) fail(question.where, ": ", found.reason, ": ", found.failure);
  const std::vector<int64_t> numbers = right.of(question, found.sources);
  if (!found.used()) {
    ++counts.empty;
  } else if (numbers.empty()) {
    ++counts.without;
  } else {
    text::put_before_question(messages, found.context);
    print_row(question, std::move(messages), numbers.front());
    ++counts.rows;
    counts.first += numbers.front() == 1 ? 1 : 0;
  }
}

}  // namespace

int rag_prompts(int argc, char** argv) {
  const retrieval::RetrievalOptions usual;
  cxxopts::Options options(
      "rotor rag prompts",
      "Conversations to train a model on that answers from sources and names them: each question as\n"
      "rotor chat --rag and rotor serve --rag show it, and its answer with the number of the source\n"
      "that holds it. Lines of the file are {\"question\": ..., \"answer\": ..., \"document\": ...}; "
      "\"answers\"\n"
      "may be a list, \"document\", an id of rotor rag list or its end, may be missing. A question is left\n"
      "out if no source holds its answer: none is of its document or, without one, has the answer's words.");
  options.add_options()("base", "the base's file", cxxopts::value<std::string>())(
      "questions", "JSON lines with questions", cxxopts::value<std::string>())(
      "count", "most sources of a question, as rotor chat --rag-count",
      cxxopts::value<int64_t>()->default_value(std::to_string(usual.count)))(
      "budget",
      "most tokens that the sources of a question take, as rotor chat --rag-budget; chat and serve give them "
      "at most a third of the model's context",
      cxxopts::value<int64_t>()->default_value(std::to_string(usual.budget_tokens)))(
      "model",
      "what counts these tokens: the model that will read them, or the tokenizer that it will have (default: "
      "a word counts one and a half)",
      cxxopts::value<std::string>());
  add_embedder_options(options);
  const auto parsed = tool::parse_options(options, argc, argv, {"base", "questions"}, kRagPromptsExamples);
  if (!parsed) return 0;
  retrieval::RetrievalRequest request;
  request.options.mode = retrieval::Mode::always;
  request.options.count = (*parsed)["count"].as<int64_t>();
  request.options.budget_tokens = (*parsed)["budget"].as<int64_t>();
  request.options.validate();
  request.keep_going = [] { return !tool::interrupted(); };
  const auto questions = retrieval::read_questions((*parsed)["questions"].as<std::string>());
  const auto base = retrieval::open_base((*parsed)["base"].as<std::string>(), read_base_options(*parsed));
  const retrieval::RightSources right(base->store(), questions);
  const retrieval::Retriever retriever(base, read_count(*parsed), {});
  tool::catch_interrupts();
  tool::Progress progress("prompts", std::ssize(questions));
  Counts counts;
  for (const AnsweredQuestion& question : questions) {
    make_row(retriever, right, question, request, counts);
    if (tool::interrupted()) break;
    progress.update(counts.done(),
                    cat(counts.done(), "/", questions.size(), " questions, ",
                        tool::duration_text(progress.remaining_seconds(counts.done())), " left"));
  }
  progress.finish(counts.text());
  if (!tool::interrupted()) return 0;
  std::fprintf(stderr, "interrupted: %lld of %zu questions are done\n", static_cast<long long>(counts.done()),
               questions.size());
  return tool::kInterruptedStatus;
}

}  // namespace rotor::runtime::cli
