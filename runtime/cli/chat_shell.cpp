// Commands begin with a slash; all else is a message.
#include "runtime/cli/chat_shell.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <utility>
#include <vector>

#include "rotor/core/error.h"
#include "rotor/tool/interrupt.h"
#include "rotor/tool/main.h"
#include "rotor/tool/progress.h"
#include "runtime/cli/source_list.h"
#include "runtime/retrieval/citations.h"
#include "runtime/retrieval/question.h"

namespace rotor::runtime::cli {
namespace {

constexpr const char* kHelp =
    "  /system [TEXT]    what the system's message says; without TEXT there is none\n"
    "  /reset            begin anew; the system's message stays\n"
    "  /regen            another answer to the last message\n"
    "  /save FILE        write the messages as JSON; ~/ is the home directory\n"
    "  /load FILE        go on with the messages of such a file\n"
    "  /set [NAME VALUE] how answers are drawn: temp, top-k, top-p, min-p, repeat-penalty, seed, n,\n"
    "                    and with --rag retrieval: auto, always, never\n"
    "  /sources          what the last answer rests on, in full (--rag)\n"
    "  /stats            tokens and speed of the last answer\n"
    "  /help             this\n"
    "  /exit             the end, as Ctrl-D\n"
    "A line that ends in \\ goes on in the next one; lines between two lines of \"\"\" are one message. A\n"
    "message that begins with a slash is written with two. Ctrl-C stops an answer.\n";
constexpr int64_t kProbedTokens = 8;  // of an answer without sources, to see how sure the model is
constexpr const char* kBlock = "\"\"\"";
constexpr const char* kGreen = "\x1b[32m";
constexpr const char* kPlain = "\x1b[0m";

struct Command {
  std::string name;
  std::string arguments;
};

Command split(const std::string& line) {
  constexpr const char* kBlank = " \t\n";
  const std::string text = line.substr(0, line.find_last_not_of(kBlank) + 1);
  const size_t end = text.find_first_of(kBlank);
  if (end == std::string::npos) return {text, ""};
  return {text.substr(0, end), text.substr(text.find_first_not_of(kBlank, end))};
}

bool is_exit(const std::string& line) {
  const std::string name = split(line).name;
  return name == "/exit" || name == "/quit" || name == "/bye";
}

template <class Number>
Number parse_number(const std::string& name, const std::string& text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    fail("/set ", name, ": expected a number, found \"", text, "\"");
  }
  return number;
}

bool write(std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
}

/// Without control characters but line feeds and tabs: what a model says is not to move the cursor, or worse.
std::string harmless(std::string_view text) {
  constexpr const char* kReplacement = "\xEF\xBF\xBD";
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool is_c1 = byte == 0xC2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (is_c1) ++i;
    if (is_c1 || byte == 0x7F || (byte < 0x20 && byte != '\n' && byte != '\t')) {
      result += kReplacement;
    } else {
      result += text[i];
    }
  }
  return result;
}

/// What is for the user, and no answer.
void note(const std::string& text) {
  std::fprintf(stderr, "(%s)\n", text.c_str());
}

/// The argument, a leading ~/ being the home directory as in a shell.
std::string need_file(const Command& command) {
  if (command.arguments.empty()) fail(command.name, ": expected a file, found nothing");
  const char* home = std::getenv("HOME");
  if (home == nullptr || !command.arguments.starts_with("~/")) return command.arguments;
  return home + command.arguments.substr(1);
}

}  // namespace

ChatShell::ChatShell(const LanguageModel& model, Chat& chat, Options options)
    : model_(model),
      chat_(chat),
      options_(std::move(options)),
      editor_(options_.history),
      on_terminal_(isatty(STDOUT_FILENO) != 0) {}

int ChatShell::run() {
  if (editor_.is_typed()) std::fputs("Type a message, /help for commands, Ctrl-D to end.\n", stderr);
  while (const auto message = read_message()) {
    bool goes_on = true;
    try {
      if (message->starts_with("//")) {
        goes_on = ask(message->substr(1));
      } else if (message->starts_with("/")) {
        if (is_exit(*message)) return 0;
        goes_on = command(*message);
      } else if (message->find_first_not_of(" \t\n") != std::string::npos) {
        goes_on = ask(*message);
      }
    } catch (const Error& error) {
      if (!editor_.is_typed()) throw;
      std::fprintf(stderr, "error: %s\n", tool::printable(error.what()).c_str());
    }
    if (tool::interrupted() || (!goes_on && !editor_.is_typed())) return tool::kInterruptedStatus;
  }
  if (editor_.is_typed()) std::fputs("\n", stderr);
  return tool::interrupted() || interrupted_ ? tool::kInterruptedStatus : 0;
}

std::optional<std::string> ChatShell::read_message() {
  std::string message;
  std::string line;
  bool in_block = false;
  bool goes_on = false;
  for (;;) {
    switch (editor_.read(goes_on ? ". " : "> ", line)) {
      case LineEditor::Result::end:
        if (!goes_on || tool::interrupted()) return std::nullopt;
        if (editor_.is_typed()) std::fputs("\n", stderr);
        return message;
      case LineEditor::Result::interrupted:
        interrupted_ = !editor_.is_typed();
        if (interrupted_) return std::nullopt;
        std::fputs("\n", stderr);
        if (!goes_on) note("Ctrl-D or /exit ends");
        message.clear();
        in_block = false;
        goes_on = false;
        continue;
      case LineEditor::Result::line:
        break;
    }
    goes_on = true;
    if (line == kBlock) {
      in_block = !in_block;
      if (in_block) continue;
      if (!message.empty()) message.pop_back();                 // the last line feed
      if (message.starts_with("/")) message.insert(0, 1, '/');  // no command
      break;
    }
    if (in_block) {
      message += line + "\n";
      continue;
    }
    if (!line.empty() && line.back() == '\\') {
      line.back() = '\n';
      message += line;
      continue;
    }
    message += line;
    break;
  }
  if (!message.empty()) editor_.remember(message);
  return message;
}

bool ChatShell::ask(const std::string& message) {
  return show(message);
}

bool ChatShell::regenerate() {
  const OrderedJson before = chat_.messages();
  const bool waits = !before.empty() && before.back().at("role") != "system";  // for an answer: a loaded chat
  if (!chat_.take_back_answer() && !waits) fail("/regen: there is no answer yet");
  try {
    return show(std::nullopt);
  } catch (...) {
    chat_.set_messages(before);
    throw;
  }
}

bool ChatShell::show(const std::optional<std::string>& message) {
  SamplerOptions sampling = options_.sampling;
  sampling.seed += answers_++;
  Sampler sampler(sampling, model_.vocab_size());
  if (options_.make_constraint) sampler.set_constraint(options_.make_constraint());
  GenerateOptions options;
  options.max_new_tokens = options_.max_new_tokens;
  options.stop_strings = options_.stop_strings;
  bool stopped = false;
  const auto goes_on = [&] { return !(stopped = stopped || tool::take_interrupt() || tool::interrupted()); };
  std::optional<tool::Progress> progress;  // of prompts that take more than one batch
  options.on_prompt = [&](int64_t done) {
    const int64_t all = chat_.prompt_tokens();
    if (!progress && done < all) progress.emplace("reading", all);
    if (progress) progress->update(done, cat(done, "/", all, " tokens"));
    if (done == all) progress.reset();
    return goes_on();
  };
  options.on_token = [&](text::TokenId) { return goes_on(); };
  bool has_begun = false;
  options.on_text = [&](std::string_view text) {
    if (!has_begun) text.remove_prefix(std::min(text.find_first_not_of(" \n"), text.size()));
    if (text.empty()) return true;
    if (!std::exchange(has_begun, true) && options_.colors) write(kGreen);
    return write(on_terminal_ ? harmless(text) : std::string(text));
  };
  const auto end_color = [&] {
    if (has_begun && options_.colors) write(kPlain);
  };
  const int64_t left_out_before = last_ ? last_->left_out : 0;
  try {
    Chat::MakeContext make_context;
    if (options_.sources != nullptr) make_context = [&] { return find_context(goes_on); };
    last_ = message ? chat_.ask(*message, sampler, options, make_context)
                    : chat_.answer(sampler, options, make_context);
    model_.file().check_intact();
  } catch (...) {
    end_color();
    if (has_begun) write("\n");
    throw;
  }
  end_color();
  if (!write("\n")) fail("cannot write to standard output");
  const GenerateResult& result = last_->generated;
  if (last_->left_out > 0 && last_->left_out != left_out_before) {
    note(cat("the context is full: the model does not see the first ",
             tool::count_text(last_->left_out, "message"), " any more"));
  }
  if (result.stop_reason == StopReason::context) {
    note(cat("the context of ", chat_.session().context(), " tokens is full: the answer ends here"));
  }
  if (stopped) note("stopped");
  if (retrieval_) show_sources();
  return !stopped;
}

std::string ChatShell::find_context(const std::function<bool()>& goes_on) {
  retrieval::RetrievalRequest request;
  request.options = options_.retrieval;
  if (request.options.mode != retrieval::Mode::never) {
    request.question = retrieval::search_question(chat_.messages());
    request.options.budget_tokens =
        std::min(request.options.budget_tokens, chat_.room_for_context(options_.max_new_tokens));
  }
  request.uncertainty = [&] { return chat_.uncertainty(kProbedTokens, goes_on); };
  request.keep_going = goes_on;
  retrieval_ = options_.sources->retrieve(request);
  return retrieval_->context;
}

void ChatShell::show_sources() const {
  using retrieval::Outcome;
  const retrieval::Retrieval& found = *retrieval_;
  if (found.used()) {
    const auto cited = retrieval::cited_sources(last_->generated.text, std::ssize(found.sources));
    const std::string list = source_lines(found.sources, cited, options_.colors);
    if (!write(options_.colors || !on_terminal_ ? list : harmless(list)))
      fail("cannot write to standard output");
  } else if (found.outcome != Outcome::never) {
    note(
        cat("no sources: ", found.reason, found.failure.empty() ? "" : ": ", tool::printable(found.failure)));
  }
}

void ChatShell::print_sources() const {
  if (options_.sources == nullptr) fail("/sources: there is no knowledge base; --rag names one");
  if (!retrieval_) fail("/sources: there is no answer yet");
  const std::string text = sources_in_full(*retrieval_);
  write(on_terminal_ ? harmless(text) : text);
}

bool ChatShell::command(const std::string& line) {
  const Command command = split(line);
  const std::string& name = command.name;
  if (name == "/help") {
    write(kHelp);
  } else if (name == "/system") {
    chat_.set_system(command.arguments);
  } else if (name == "/reset") {
    chat_.reset();
  } else if (name == "/regen") {
    return regenerate();
  } else if (name == "/save") {
    write_messages(need_file(command), chat_.messages());
  } else if (name == "/load") {
    chat_.set_messages(read_messages(need_file(command)));
    write(cat(tool::count_text(static_cast<int64_t>(chat_.messages().size()), "message"), "\n"));
  } else if (name == "/stats") {
    print_statistics();
  } else if (name == "/sources") {
    print_sources();
  } else if (name == "/set") {
    command.arguments.empty() ? print_settings() : set(command.arguments);
  } else {
    fail(name, ": expected a command of /help; a message that begins with a slash is written with two");
  }
  return true;
}

void ChatShell::set(const std::string& arguments) {
  const auto [name, text] = split(arguments);
  SamplerOptions sampling = options_.sampling;
  int64_t limit = options_.max_new_tokens;
  if (name == "temp") {
    sampling.temperature = parse_number<double>(name, text);
  } else if (name == "top-k") {
    sampling.top_k = parse_number<int64_t>(name, text);
  } else if (name == "top-p") {
    sampling.top_p = parse_number<double>(name, text);
  } else if (name == "min-p") {
    sampling.min_p = parse_number<double>(name, text);
  } else if (name == "repeat-penalty") {
    sampling.repeat_penalty = parse_number<double>(name, text);
  } else if (name == "seed") {
    sampling.seed = parse_number<uint64_t>(name, text);
    answers_ = 0;
  } else if (name == "n") {
    limit = parse_number<int64_t>(name, text);
    if (limit < -1) fail("/set n: expected -1 (no limit), 0 or more, found ", limit);
  } else if (name == "retrieval" && options_.sources != nullptr) {
    const auto mode = retrieval::parse_mode(text);
    if (!mode) fail("/set retrieval: expected auto, always or never, found \"", text, "\"");
    options_.retrieval.mode = *mode;
  } else {
    fail("/set: expected temp, top-k, top-p, min-p, repeat-penalty, seed",
         options_.sources != nullptr ? ", n or retrieval" : " or n", ", found \"", name, "\"");
  }
  sampling.validate(model_.vocab_size());
  options_.sampling = std::move(sampling);
  options_.max_new_tokens = limit;
}

void ChatShell::print_settings() const {
  const SamplerOptions& s = options_.sampling;
  write(cat("temp ", s.temperature, "\ntop-k ", s.top_k, "\ntop-p ", s.top_p, "\nmin-p ", s.min_p,
            "\nrepeat-penalty ", s.repeat_penalty, "\nseed ", s.seed, "\nn ", options_.max_new_tokens, "\n"));
  if (options_.sources != nullptr) write(cat("retrieval ", retrieval::name(options_.retrieval.mode), "\n"));
}

void ChatShell::print_statistics() const {
  if (!last_) fail("/stats: there is no answer yet");
  const GenerateResult& result = last_->generated;
  write(tool::format("prompt: %lld tokens, %lld of them known from before, %.1f tokens/s\n",
                     static_cast<long long>(last_->prompt_tokens),
                     static_cast<long long>(last_->cached_tokens), result.prompt_tokens_per_second()));
  write(tool::format("answer: %zu tokens, %.1f tokens/s, end: %s\n", result.ids.size(),
                     result.decode_tokens_per_second(), runtime::name(result.stop_reason)));
  write(tool::format("context: %lld of %lld tokens; %lld messages of %zu left out\n",
                     static_cast<long long>(chat_.session().position()),
                     static_cast<long long>(chat_.session().context()),
                     static_cast<long long>(last_->left_out), chat_.messages().size()));
}

}  // namespace rotor::runtime::cli
