// libedit reads characters through a function of ours, so that Ctrl-C is seen.
#include "runtime/cli/line_editor.h"

#include <histedit.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cwchar>
#include <iostream>
#include <utility>

#include "rotor/tool/interrupt.h"

namespace rotor::runtime::cli {
namespace {

constexpr int kHistorySize = 1000;

/// Ends the line, by -1, when SIGINT or SIGTERM was noted.
int read_character(EditLine* editor, wchar_t* character) {
  std::mbstate_t state{};
  for (;;) {
    FILE* in = nullptr;
    el_get(editor, EL_GETFP, 0, &in);
    char byte = 0;
    const ssize_t count = ::read(fileno(in), &byte, 1);
    if (count == 0) return 0;
    if (count < 0 && errno == EINTR) return -1;
    if (count < 0) return -1;
    const size_t used = std::mbrtowc(character, &byte, 1, &state);
    if (used == static_cast<size_t>(-2)) continue;  // the rest of it is to come
    if (used == static_cast<size_t>(-1)) *character = L'?';
    return 1;
  }
}

}  // namespace

struct LineEditor::Terminal {
  EditLine* editor = nullptr;
  History* history = nullptr;
  std::string prompt;
};

LineEditor::LineEditor(std::string history) : history_(std::move(history)) {
  if (isatty(STDIN_FILENO) == 0) return;
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

bool LineEditor::is_terminal() const {
  return terminal_ != nullptr;
}

LineEditor::Result LineEditor::read(const std::string& prompt, std::string& line) {
  line.clear();
  if (terminal_ == nullptr) return std::getline(std::cin, line) ? Result::line : Result::end;
  terminal_->prompt = prompt;
  tool::take_interrupt();
  int count = 0;
  const char* text = el_gets(terminal_->editor, &count);
  if (text == nullptr || count <= 0) {
    if (tool::take_interrupt()) return Result::interrupted;
    return Result::end;
  }
  line.assign(text, static_cast<size_t>(count));
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
  return Result::line;
}

void LineEditor::remember(const std::string& text) {
  if (terminal_ == nullptr) return;
  HistEvent event;
  ::history(terminal_->history, &event, H_ENTER, text.c_str());
  if (history_.empty()) return;
  const mode_t others = umask(077);  // chats are nobody else's business
  ::history(terminal_->history, &event, H_SAVE, history_.c_str());
  umask(others);
}

}  // namespace rotor::runtime::cli
