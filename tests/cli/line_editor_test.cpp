// Lines on a terminal and from elsewhere, and interrupts that come when nobody waits for them yet.
#include "runtime/cli/line_editor.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "rotor/tool/interrupt.h"
#include "tests/support/temp_dir.h"
#include "tests/support/terminal.h"

namespace rotor::runtime::cli {
namespace {

constexpr unsigned kSeconds = 30;  // whoever waits in vain is ended by SIGALRM

/// What read() is to give; the exit status says whether it did.
struct Step {
  LineEditor::Result result;
  std::string line;
};

int expect_steps(LineEditor& editor, const std::vector<Step>& steps) {
  int number = 0;
  for (const Step& step : steps) {
    ++number;
    std::string line;
    if (editor.read("> ", line) != step.result || line != step.line) return number;
  }
  return 0;
}

/// Standard input and output are the terminal, or a pipe with `input` that stays open.
int read_steps(const std::vector<Step>& steps, const char* input, int signal_before) {
  alarm(kSeconds);
  int ends[2] = {-1, -1};
  if (input != nullptr) {
    if (pipe(ends) != 0) return 100;
    const auto size = static_cast<ssize_t>(std::string(input).size());
    if (write(ends[1], input, static_cast<size_t>(size)) != size) return 101;
    dup2(ends[0], STDIN_FILENO);
  }
  tool::note_interrupts();
  LineEditor editor("");
  if (signal_before != 0) std::raise(signal_before);
  return expect_steps(editor, steps);
}

TEST(LineEditorTest, AnInterruptBeforeTheWaitIsNotLost) {
  for (const char* input : {static_cast<const char*>(nullptr), ""}) {
    test::Terminal at_int([&] { return read_steps({{LineEditor::Result::interrupted, ""}}, input, SIGINT); });
    EXPECT_EQ(at_int.wait(), 0) << (input == nullptr ? "terminal" : "pipe");
    test::Terminal at_term([&] { return read_steps({{LineEditor::Result::end, ""}}, input, SIGTERM); });
    EXPECT_EQ(at_term.wait(), 0) << (input == nullptr ? "terminal" : "pipe");
  }
}

TEST(LineEditorTest, AnInterruptDropsWhatWasTyped) {
  test::Terminal terminal([] {
    return read_steps({{LineEditor::Result::interrupted, ""}, {LineEditor::Result::line, "ab"}}, nullptr, 0);
  });
  terminal.wait_for("> ");
  terminal.type("xyz");
  terminal.wait_for("xyz");
  terminal.type("\x03");
  terminal.wait_for("> ");
  terminal.type("ab\n");
  EXPECT_EQ(terminal.wait(), 0);
}

TEST(LineEditorTest, TheLineIsDrawnAnewWhenTheProcessGoesOn) {
  test::Terminal terminal([] { return read_steps({{LineEditor::Result::line, "abc"}}, nullptr, 0); });
  terminal.wait_for("> ");
  terminal.type("ab");
  terminal.wait_for("ab");
  terminal.send(SIGCONT);
  terminal.wait_for("> ab");
  terminal.type("c\n");
  EXPECT_EQ(terminal.wait(), 0);
}

TEST(LineEditorTest, LettersOfSeveralBytes) {
  test::Terminal terminal([] {
    setenv("LC_ALL", "C", 1);  // what small machines have
    return read_steps({{LineEditor::Result::line, "a\xC3\xA9\xE2\x82\xAC?"}}, nullptr, 0);
  });
  terminal.wait_for("> ");
  terminal.type("ax\x7F\xC3\xA9\xE2\x82\xAC\xFF\n");  // one is deleted, and one is no letter
  EXPECT_EQ(terminal.wait(), 0);
}

TEST(LineEditorTest, LinesOfAPipe) {
  const std::string input = "ab\r\n\n" + std::string(10000, 'x') + "\nrest";
  test::Terminal terminal([&] {
    alarm(kSeconds);
    const test::TempDir directory;
    test::write_bytes(directory.file("input"), input);
    if (std::freopen(directory.file("input").c_str(), "r", stdin) == nullptr) return 100;
    tool::note_interrupts();
    LineEditor editor("");
    if (editor.is_typed()) return 101;
    return expect_steps(editor, {{LineEditor::Result::line, "ab"},
                                 {LineEditor::Result::line, ""},
                                 {LineEditor::Result::line, std::string(10000, 'x')},
                                 {LineEditor::Result::line, "rest"},
                                 {LineEditor::Result::end, ""},
                                 {LineEditor::Result::end, ""}});
  });
  EXPECT_EQ(terminal.wait(), 0);
}

}  // namespace
}  // namespace rotor::runtime::cli
