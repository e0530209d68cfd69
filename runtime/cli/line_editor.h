// Lines that a user types: with editing and history on a terminal (libedit), else as they come. An interrupt
// (rotor/tool/interrupt.h) ends the wait for one.
#pragma once

#include <memory>
#include <string>

namespace rotor::runtime::cli {

class LineEditor {
 public:
  enum class Result { line, end, interrupted };

  /// `history`: a file of earlier lines, which need not be there; "": none are kept. Expects that
  /// tool::note_interrupts() was called.
  explicit LineEditor(std::string history);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  /// The next line without its line feed; interrupted, which takes the interrupt and drops what was typed,
  /// for a SIGINT that was not taken yet; end for SIGTERM, too. `prompt` is shown if someone types.
  Result read(const std::string& prompt, std::string& line);
  /// Whether someone types: standard input is a terminal. Editing needs one as standard output, too.
  bool is_typed() const { return is_typed_; }
  /// Appends to the history, unless it is what came last.
  void remember(const std::string& text);

 private:
  Result read_plain(const std::string& prompt, std::string& line);

  struct Terminal;
  std::unique_ptr<Terminal> terminal_;  // null: no editing
  bool is_typed_;
  std::string history_;
  std::string pending_;  // without editing: what was read behind the last line
};

}  // namespace rotor::runtime::cli
