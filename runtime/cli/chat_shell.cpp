// Commands begin with a slash; all else is a message.
#include "runtime/cli/chat_shell.h"

#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <functional>
#include <utility>
#include <vector>

#include "rotor/core/error.h"
#include "rotor/tool/interrupt.h"
#include "rotor/tool/progress.h"

namespace rotor::runtime::cli {
namespace {

constexpr const char* kHelp =
    "  /system [TEXT]    what the system's message says; without TEXT there is none\n"
    "  /reset            begin anew; the system's message stays\n"
    "  /regen            another answer to the last message\n"
    "  /save FILE        write the messages as JSON\n"
    "  /load FILE        go on with the messages of such a file\n"
    "  /set [NAME VALUE] how answers are drawn: temp, top-k, top-p, min-p, repeat-penalty, seed, n\n"
    "  /stats            tokens and speed of the last answer\n"
    "  /help             this\n"
    "  /exit             the end, as Ctrl-D\n"
    "A line that ends in \\ goes on in the next one; lines between two lines of \"\"\" are one message. A "
    "message that "
    "begins with a slash\nis written with two. Ctrl-C stops an answer.\n";
constexpr const char* kBlock = "\"\"\"";

struct Command {
  std::string name;
  std::string arguments;
};

Command split(const std::string& line) {
  const size_t end = line.find_first_of(" \t");
  if (end == std::string::npos) return {line, ""};
  const size_t begin = line.find_first_not_of(" \t", end);
  return {line.substr(0, end), begin == std::string::npos ? "" : line.substr(begin)};
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

const std::string& need_argument(const Command& command, const char* what) {
  if (command.arguments.empty()) fail(command.name, ": expected ", what, ", found nothing");
  return command.arguments;
}

}  // namespace

ChatShell::ChatShell(const LanguageModel& model, Chat& chat, Options options)
    : model_(model),
      chat_(chat),
      options_(std::move(options)),
      editor_(options_.history),
      on_terminal_(isatty(STDOUT_FILENO) != 0) {}

int ChatShell::run() {
  if (editor_.is_terminal()) write("Type a message, /help for commands, Ctrl-D to end.\n");
  while (const auto message = read_message()) {
    try {
      if (message->starts_with("//")) {
        ask(message->substr(1));
      } else if (message->starts_with("/")) {
        if (!command(*message)) return 0;
      } else if (message->find_first_not_of(" \t\n") != std::string::npos) {
        ask(*message);
      }
    } catch (const Error& error) {
      std::fprintf(stderr, "error: %s\n", error.what());
      if (!editor_.is_terminal()) return 1;
    }
    if (tool::interrupted()) return tool::kInterruptedStatus;
  }
  if (editor_.is_terminal()) write("\n");
  return tool::interrupted() ? tool::kInterruptedStatus : 0;
}

std::optional<std::string> ChatShell::read_message() {
  std::string message;
  std::string line;
  bool in_block = false;
  bool goes_on = false;
  for (;;) {
    switch (editor_.read(goes_on ? ". " : "> ", line)) {
      case LineEditor::Result::end:
        if (!goes_on) return std::nullopt;
        return message;
      case LineEditor::Result::interrupted:
        if (message.empty()) write("\n(Ctrl-D or /exit ends)\n");
        if (!message.empty()) write("\n");
        message.clear();
        in_block = false;
        goes_on = false;
        if (tool::interrupted()) return std::nullopt;
        continue;
      case LineEditor::Result::line:
        break;
    }
    goes_on = true;
    if (line == kBlock) {
      in_block = !in_block;
      if (in_block) continue;
      if (!message.empty()) message.pop_back();  // the last line feed
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

void ChatShell::regenerate() {
  if (!chat_.take_back_answer()) fail("/regen: there is no answer yet");
  show(std::nullopt);
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
  options.on_text = [&](std::string_view text) {
    return write(on_terminal_ ? harmless(text) : std::string(text));
  };
  if (options_.colors) write("\x1b[32m");
  try {
    last_ = message ? chat_.ask(*message, sampler, options) : chat_.answer(sampler, options);
  } catch (...) {
    if (options_.colors) write("\x1b[0m");
    throw;
  }
  if (options_.colors) write("\x1b[0m");
  write("\n");
  if (last_->generated.stop_reason == StopReason::context) {
    std::fprintf(stderr, "(the context of %lld tokens is full: the answer ends here)\n",
                 static_cast<long long>(chat_.session().context()));
  }
  if (last_->generated.stop_reason == StopReason::interrupted) std::fprintf(stderr, "(stopped)\n");
  return !stopped;
}

bool ChatShell::command(const std::string& line) {
  const Command command = split(line);
  const std::string& name = command.name;
  if (name == "/exit" || name == "/quit" || name == "/bye") return false;
  if (name == "/help") {
    write(kHelp);
  } else if (name == "/system") {
    chat_.set_system(command.arguments);
  } else if (name == "/reset") {
    chat_.reset();
  } else if (name == "/regen") {
    regenerate();
  } else if (name == "/save") {
    write_messages(need_argument(command, "a file"), chat_.messages());
  } else if (name == "/load") {
    chat_.set_messages(read_messages(need_argument(command, "a file")));
    write(cat(tool::count_text(static_cast<int64_t>(chat_.messages().size()), "message"), "\n"));
  } else if (name == "/stats") {
    print_statistics();
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
  } else {
    fail("/set: expected temp, top-k, top-p, min-p, repeat-penalty, seed or n, found \"", name, "\"");
  }
  sampling.validate(model_.vocab_size());
  options_.sampling = std::move(sampling);
  options_.max_new_tokens = limit;
}

void ChatShell::print_settings() const {
  const SamplerOptions& s = options_.sampling;
  write(cat("temp ", s.temperature, "\ntop-k ", s.top_k, "\ntop-p ", s.top_p, "\nmin-p ", s.min_p,
            "\nrepeat-penalty ", s.repeat_penalty, "\nseed ", s.seed, "\nn ", options_.max_new_tokens, "\n"));
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
