// libedit reads characters through a function of ours, so that Ctrl-C is seen.
#include "runtime/cli/line_editor.h"

#include <histedit.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cwchar>
#include <utility>

#include "rotor/tool/interrupt.h"

namespace rotor::runtime::cli {
namespace {

constexpr int kHistorySize = 1000;

/// The terminal may be in another mode than the one that was set, and anything may stand there.
void redraw(EditLine* editor) {
  el_set(editor, EL_PREP_TERM, 0);
  el_set(editor, EL_PREP_TERM, 1);
  el_resize(editor);
  std::fputs("\r", stdout);
  el_set(editor, EL_REFRESH);
}

/// Ends the line, by -1, when SIGINT or SIGTERM is noted.
int read_character(EditLine* editor, wchar_t* character) {
  std::mbstate_t state{};
  for (;;) {
    const tool::Wake wake = tool::wait_for_input(STDIN_FILENO);
    if (wake == tool::Wake::interrupt) return -1;
    if (wake == tool::Wake::terminal) {
      redraw(editor);
      continue;
    }
    char byte = 0;
    const ssize_t count = ::read(STDIN_FILENO, &byte, 1);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return static_cast<int>(count);
    const size_t used = std::mbrtowc(character, &byte, 1, &state);
    if (used == static_cast<size_t>(-2)) continue;  // the rest of it is to come
    if (used == static_cast<size_t>(-1)) *character = L'?';
    return 1;
  }
}

void strip_line_end(std::string& line) {
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
}

}  // namespace

struct LineEditor::Terminal {
  EditLine* editor = nullptr;
  History* history = nullptr;
  std::string prompt;
};

LineEditor::LineEditor(std::string history)
    : is_typed_(isatty(STDIN_FILENO) != 0), history_(std::move(history)) {
  if (!is_typed_ || isatty(STDOUT_FILENO) == 0) return;
  std::setlocale(LC_CTYPE, "");
  if (std::string(setlocale(LC_CTYPE, nullptr)) == "C") std::setlocale(LC_CTYPE, "C.UTF-8");
  terminal_ = std::make_unique<Terminal>();
  terminal_->editor = el_init("rotor", stdin, stdout, stderr);
  terminal_->history = history_init();
  EditLine* editor = terminal_->editor;
  HistEvent event;
  ::history(terminal_->history, &event, H_SETSIZE, kHistorySize);
  ::history(terminal_->history, &event, H_SETUNIQUE, 1);
  if (!history_.empty()) ::history(terminal_->history, &event, H_LOAD, history_.c_str());
  el_set(editor, EL_CLIENTDATA, terminal_.get());
  el_set(
      editor, EL_PROMPT, +[](EditLine* line) {
        Terminal* terminal = nullptr;
        el_get(line, EL_CLIENTDATA, &terminal);
        return terminal->prompt.data();
      });
  el_set(editor, EL_HIST, ::history, terminal_->history);
  el_set(editor, EL_EDITOR, "emacs");
  el_set(editor, EL_GETCFN, read_character);
  el_set(editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_set(editor, EL_BIND, "\\e[3~", "ed-delete-next-char", nullptr);
  el_source(editor, nullptr);  // the user's ~/.editrc
}

LineEditor::~LineEditor() {
  if (terminal_ == nullptr) return;
  history_end(terminal_->history);
  el_end(terminal_->editor);
}

LineEditor::Result LineEditor::read(const std::string& prompt, std::string& line) {
  line.clear();
  if (terminal_ == nullptr) return read_plain(prompt, line);
  terminal_->prompt = prompt;
  // Else libedit shows the prompt first, and a Ctrl-D in between is lost: the terminal itself takes it.
  el_set(terminal_->editor, EL_PREP_TERM, 1);
  int count = 0;
  const char* text = el_gets(terminal_->editor, &count);
  if (text == nullptr || count <= 0) return tool::take_interrupt() ? Result::interrupted : Result::end;
  line.assign(text, static_cast<size_t>(count));
  strip_line_end(line);
  return Result::line;
}

LineEditor::Result LineEditor::read_plain(const std::string& prompt, std::string& line) {
  if (is_typed_) std::fputs(prompt.c_str(), stderr);
  size_t searched = 0;
  for (;;) {
    const size_t end = pending_.find('\n', searched);
    if (end != std::string::npos) {
      line = pending_.substr(0, end + 1);
      pending_.erase(0, end + 1);
      break;
    }
    searched = pending_.size();
    const tool::Wake wake = tool::wait_for_input(STDIN_FILENO);
    if (wake == tool::Wake::terminal) continue;
    if (wake == tool::Wake::interrupt) {
      pending_.clear();
      return tool::take_interrupt() ? Result::interrupted : Result::end;
    }
    std::array<char, 4096> bytes{};
    const ssize_t count = ::read(STDIN_FILENO, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count > 0) {
      pending_.append(bytes.data(), static_cast<size_t>(count));
      continue;
    }
    if (pending_.empty()) return Result::end;
    line = std::exchange(pending_, {});
    break;
  }
  strip_line_end(line);
  return Result::line;
}

void LineEditor::remember(const std::string& text) {
  if (terminal_ == nullptr) return;
  HistEvent event;
  ::history(terminal_->history, &event, H_ENTER, text.c_str());
  if (history_.empty()) return;
  const mode_t others = umask(077);  // chats are nobody else's business
  const std::string written = history_ + ".new";
  if (::history(terminal_->history, &event, H_SAVE, written.c_str()) >= 0) {
    std::rename(written.c_str(), history_.c_str());
  }
  umask(others);
}

}  // namespace rotor::runtime::cli
