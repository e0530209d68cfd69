// Lines that a user types: with editing and history on a terminal (libedit), else as they come.
#pragma once

#include <memory>
#include <string>

namespace rotor::runtime::cli {

class LineEditor {
 public:
  enum class Result { line, end, interrupted };

  /// `history`: a file of earlier lines, which need not be there; "": none are kept.
  explicit LineEditor(std::string history);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  /// The next line without its line feed. `prompt` is shown on a terminal alone.
  Result read(const std::string& prompt, std::string& line);
  /// Whether someone types.
  bool is_terminal() const;
  /// Appends to the history, unless it is what came last.
  void remember(const std::string& text);

 private:
  struct Terminal;
  std::unique_ptr<Terminal> terminal_;  // null: standard input is none
  std::string history_;
};

}  // namespace rotor::runtime::cli
