// rotor chat: a conversation on the terminal.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "rotor/core/error.h"
#include "rotor/tool/interrupt.h"
#include "rotor/tool/main.h"
#include "runtime/cli/chat_shell.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/constraint_options.h"
#include "runtime/cli/model_options.h"
#include "runtime/cli/retrieval_options.h"
#include "runtime/cli/sampling_options.h"

namespace rotor::runtime::cli {
namespace {

constexpr const char* kChatExamples =
    "  rotor chat model.rotor\n"
    "  rotor chat model.rotor --system \"Answer in one sentence.\" --temp 0.6\n"
    "  rotor chat model.rotor --load yesterday.json --adapter poetry\n"
    "  rotor chat model.rotor -p \"What is a prime?\" -n 100         one question, one answer\n"
    "  rotor chat model.rotor --json-schema person.json            answers are JSON that a schema allows\n"
    "  rotor chat model.rotor --rag notes.db                       answers from a knowledge base, with "
    "sources\n"
    "  rotor chat model.rotor < questions.txt                      a message a line\n";

/// $XDG_STATE_HOME/rotor/chat_history, made if need be; "" if there is no place for it.
std::string history_file() {
  const char* state = std::getenv("XDG_STATE_HOME");
  const char* home = std::getenv("HOME");
  std::filesystem::path folder;
  if (state != nullptr && *state == '/') {
    folder = state;
  } else if (home != nullptr && *home != '\0') {
    folder = std::filesystem::path(home) / ".local/state";
  } else {
    return "";
  }
  folder /= "rotor";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  return error ? "" : (folder / "chat_history").string();
}

bool wants_colors(const cxxopts::ParseResult& parsed) {
  if (parsed.count("no-color") != 0 || isatty(STDOUT_FILENO) == 0) return false;
  const auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value == nullptr ? "" : value);
  };
  return variable("NO_COLOR").empty() && variable("TERM") != "dumb";
}

text::ChatTemplate template_for(const cxxopts::ParseResult& parsed, const LanguageModel& model) {
  if (parsed.count("chat-template") != 0) {
    const auto path = parsed["chat-template"].as<std::string>();
    return text::ChatTemplate(read_text_file(path), path);
  }
  auto found = model.chat_template();
  if (!found) {
    fail(
        model.file().path(),
        ": the model has no chat template: name the file of one with --chat-template, or let rotor run go on "
        "from texts");
  }
  return *std::move(found);
}

}  // namespace

int chat(int argc, char** argv) {
  cxxopts::Options options("rotor chat", "A conversation with a language model.");
  add_model_options(options, "f16");
  add_head_screening_option(options);
  options.add_options()("system", "what the system's message says", cxxopts::value<std::string>())(
      "load", "go on with the messages of a JSON file", cxxopts::value<std::string>())(
      "p,prompt", "answer this message and end", cxxopts::value<std::string>())(
      "n,predict", "tokens of an answer at most; -1: until the model ends it",
      cxxopts::value<int64_t>()->default_value("-1"))(
      "c,ctx-size", "tokens of the conversation that the model sees (default: as many as it was made for)",
      cxxopts::value<int64_t>())("r,stop", "end answers before this text; may be repeated",
                                 cxxopts::value<std::vector<std::string>>())(
      "chat-template", "file of a template instead of the model's", cxxopts::value<std::string>())(
      "no-color", "no colours (NO_COLOR does the same)")("no-history", "keep no history of what is typed");
  add_sampling_options(options);
  add_constraint_options(options);
  add_retrieval_options(options);
  const auto parsed = parse_model_options(options, argc, argv, {"model"}, kChatExamples);
  if (!parsed) return 0;
  std::signal(SIGPIPE, SIG_DFL);  // whoever reads has enough: end without a word
  ModelOptions model_options = read_model_options(*parsed);
  ChatShell::Options shell{.sampling = read_sampling_options(*parsed),
                           .max_new_tokens = (*parsed)["predict"].as<int64_t>(),
                           .stop_strings = {},
                           .colors = wants_colors(*parsed),
                           .history = "",
                           .make_constraint = {},
                           .sources = nullptr,
                           .retrieval = {}};
  if (shell.max_new_tokens < -1)
    fail("--predict: expected -1 (no limit), 0 or more, found ", shell.max_new_tokens);
  const RetrievalChoice base = read_retrieval_options(*parsed);
  if (parsed->count("stop") != 0) shell.stop_strings = (*parsed)["stop"].as<std::vector<std::string>>();
  if (parsed->count("no-history") == 0 && parsed->count("prompt") == 0) shell.history = history_file();

  const LanguageModel model(model_options.path, model_options.model);
  shell.sampling.validate(model.vocab_size());
  shell.make_constraint = [constraints = ConstraintOptions(*parsed, model)] { return constraints.make(); };
  if (parsed->count("ctx-size") != 0) {
    const auto context = (*parsed)["ctx-size"].as<int64_t>();
    const int64_t longest = model.config().max_position_embeddings;
    if (context < 1 || context > longest) {
      fail("--ctx-size: expected 1 to ", longest, " (max_position_embeddings of the model), found ", context);
    }
    model_options.session.context = context;
  }
  need_tokenizer(model, "rotor run goes on from token ids, --tokens \"1 2 3\"");
  Chat conversation(model, template_for(*parsed, model), model_options.session);
  if (parsed->count("load") != 0) {
    conversation.set_messages(read_messages((*parsed)["load"].as<std::string>()));
  }
  if (parsed->count("system") != 0) conversation.set_system((*parsed)["system"].as<std::string>());
  shell.retrieval = base.options;
  shell.sources = open_retrieval(base, model, model_options.model.threads, [](const std::string& message) {
    std::fprintf(stderr, "%s\n", tool::printable(message).c_str());
  });
  tool::note_interrupts();
  say_backend(model);
  ChatShell chat_shell(model, conversation, std::move(shell));
  if (parsed->count("prompt") == 0) return chat_shell.run();
  return chat_shell.ask((*parsed)["prompt"].as<std::string>()) ? 0 : tool::kInterruptedStatus;
}

}  // namespace rotor::runtime::cli
