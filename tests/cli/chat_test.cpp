// `rotor chat` as a user meets it: piped, and on a terminal.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "rotor/formats/json.h"
#include "rotor/formats/ordered_json.h"
#include "rotor/text/sentencepiece.h"
#include "rotor/tool/interrupt.h"
#include "tests/support/chat_model.h"
#include "tests/support/command.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"
#include "tests/support/terminal.h"
#include "tests/support/tokenizers.h"

namespace rotor {
namespace {

using test::CommandResult;

class ChatCommand : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    files_ = new test::TempDir;
    test::write_chat_model(file("m.rotor"), 128);
    test::write_chat_model(file("long.rotor"), 8192);
    test::write_chat_model(file("no_template.rotor"), 128, "");
    test::write_chat_model(file("ends.rotor"), 128, test::kChatTemplate, {263});
    test::write_random_model(file("bare.rotor"), test::small_transformer());
  }
  static void TearDownTestSuite() { delete files_; }
  static std::string file(const std::string& name) { return files_->file(name); }

  static CommandResult rotor(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), test::program("rotor"));
    return test::run_command(arguments);
  }
  /// `rotor chat m.rotor`, greedy answers of four tokens, with that typed into a pipe.
  static CommandResult chat(const std::string& input) {
    test::write_bytes(file("input"), input);
    return test::run_command({"/bin/sh", "-c", "exec \"$0\" chat \"$1\" --temp 0 -n 4 -l 263-inf < \"$2\"",
                              test::program("rotor"), file("m.rotor"), file("input")});
  }
  /// What the model says to a text, by `rotor run`.
  static std::string said(const std::string& prompt) {
    return rotor(
               {"run", file("m.rotor"), "--special", "-p", prompt, "--temp", "0", "-n", "4", "-l", "263-inf"})
        .out;
  }
  static std::vector<std::string> on_terminal(const std::string& model, std::vector<std::string> more) {
    std::vector<std::string> command = {"/usr/bin/env",
                                        "XDG_STATE_HOME=" + file("state"),
                                        test::program("rotor"),
                                        "chat",
                                        file(model),
                                        "--temp",
                                        "0",
                                        "-l",
                                        "263-inf"};
    command.insert(command.end(), more.begin(), more.end());
    return command;
  }

  static inline test::TempDir* files_ = nullptr;
};

TEST_F(ChatCommand, AnswersAreThoseOfTheTemplatesText) {
  const std::string first = said("u:ab<|end|>a:");
  ASSERT_GT(first.size(), 1U);
  EXPECT_EQ(rotor({"chat", file("m.rotor"), "-p", "ab", "--temp", "0", "-n", "4", "-l", "263-inf"}).out,
            first);
  EXPECT_EQ(chat("ab\n").out, first);
  EXPECT_EQ(chat("/system cab\nab\n").out, said("s:cab<|end|>u:ab<|end|>a:"));
  EXPECT_EQ(chat("//ab\n").out, said("u:/ab<|end|>a:"));
  EXPECT_EQ(chat("a\\\nb\n").out, said("u:a\nb<|end|>a:"));
  EXPECT_EQ(chat("\"\"\"\na\n\nb\n\"\"\"\n").out, said("u:a\n\nb<|end|>a:"));
  EXPECT_EQ(chat("ab\n/reset\nab\n").out, first + first);
  EXPECT_EQ(chat("ab\n/regen\n").out, first + first);
  EXPECT_EQ(chat("").out, "");
  EXPECT_EQ(chat("\"\"\"\n\"\"\"\n").out, "") << "an empty block says nothing";
  EXPECT_EQ(chat("\"\"\"\n/exit\nb\n\"\"\"\n").out, said("u:/exit\nb<|end|>a:")) << "nor a command";
  EXPECT_EQ(chat("ab\r\n").out, first);
  EXPECT_EQ(chat("ab").out, first);
}

TEST_F(ChatCommand, ChatsAreSavedAndGoOn) {
  const std::string path = file("saved.json");
  const CommandResult whole = chat("ab\nx\n");
  const CommandResult begun = chat("ab\n/save " + path + "\n");
  EXPECT_EQ(begun.status, 0) << begun.err;
  const Json saved = read_json_file(path);
  ASSERT_EQ(saved.size(), 2U);
  EXPECT_EQ(saved[0]["content"], "ab");
  EXPECT_EQ(saved[1]["role"], "assistant");
  EXPECT_EQ(begun.out + chat("/load " + path + "\nx\n").out.substr(std::string("2 messages\n").size()),
            whole.out);
  const CommandResult loaded =
      rotor({"chat", file("m.rotor"), "--load", path, "-p", "x", "--temp", "0", "-n", "4", "-l", "263-inf"});
  EXPECT_EQ(begun.out + loaded.out, whole.out) << loaded.err;
}

TEST_F(ChatCommand, ALoadedQuestionIsAnsweredAndAnAnswerThatCannotBeMadeKeepsTheFormerOne) {
  const std::string path = file("question.json");
  test::write_bytes(path, R"([{"role": "user", "content": "ab"}])");
  EXPECT_EQ(chat("/load " + path + "\n/regen\n").out, "1 message\n" + said("u:ab<|end|>a:"));
  OrderedJson messages = {{{"role", "user"}, {"content", std::string(300, '!')}},
                          {{"role", "assistant"}, {"content", "long"}}};
  test::write_bytes(path, messages.dump());
  test::Terminal terminal(on_terminal("m.rotor", {"-n", "4", "--load", path}));
  terminal.wait_for("> ");
  terminal.type("/regen\n");
  terminal.wait_for("error: chat: the last message");
  terminal.wait_for("> ");
  terminal.type("/save " + path + "\n");
  terminal.wait_for("> ");
  terminal.type("/exit\n");
  EXPECT_EQ(terminal.wait(), 0);
  EXPECT_EQ(read_ordered_json_file(path), messages);
}

TEST_F(ChatCommand, AModelThatIsTruncatedOnTheWayIsAnError) {
  // Of SentencePiece, which is read when the model is: a mapped tokenizer would see it by itself.
  test::write_chat_model(file("short.rotor"), 128, test::kChatTemplate,
                         *text::make_sentencepiece_tokenizer(test::small_sentencepiece(), "small"));
  test::Terminal terminal(on_terminal("short.rotor", {"-n", "4"}));
  terminal.wait_for("> ");
  std::filesystem::resize_file(file("short.rotor"), 4096);
  terminal.type("ab\n");
  terminal.wait_for("error: ");
  terminal.wait_for("short.rotor");
  terminal.wait_for("> ");
  terminal.type("/exit\n");
  EXPECT_EQ(terminal.wait(), 0);
}

TEST_F(ChatCommand, AFullContextIsSaid) {
  const std::string text(20, '!');
  const CommandResult result =
      chat(text + "\n" + text + "\n" + text + "\n" + text + "\n" + text + "\n/stats\n");
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_NE(result.err.find("does not see the first 4 messages any more"), std::string::npos) << result.err;
  EXPECT_NE(result.out.find("4 messages of 10 left out"), std::string::npos) << result.out;
  const CommandResult ends = rotor({"chat", file("m.rotor"), "-p", "ab", "--temp", "0", "-l", "263-inf"});
  EXPECT_NE(ends.err.find("the context of 128 tokens is full: the answer ends here"), std::string::npos);
}

TEST_F(ChatCommand, AClosedStreamIsNotTheModelsFile) {
  const auto shell = [&](const std::string& command) {
    return test::run_command({"/bin/sh", "-c", command, test::program("rotor"), file("m.rotor")});
  };
  const CommandResult no_input = shell("exec \"$0\" chat \"$1\" <&-");
  EXPECT_EQ(no_input.status, 0) << no_input.err;
  const CommandResult no_output = shell("exec \"$0\" chat \"$1\" -p ab -n 4 >&-");
  EXPECT_EQ(no_output.status, 1);
  EXPECT_NE(no_output.err.find("cannot write to standard output"), std::string::npos) << no_output.err;
}

TEST_F(ChatCommand, InAPipeAnInterruptEndsTheChat) {
  ASSERT_EQ(mkfifo(file("fifo").c_str(), 0600), 0);
  const CommandResult result = test::run_command({"/bin/sh", "-c", "exec \"$0\" chat \"$1\" <> \"$2\"",
                                                  test::program("rotor"), file("m.rotor"), file("fifo")},
                                                 {.interrupt_after_ms = 50, .interrupt_after = "backend"});
  EXPECT_EQ(result.status, tool::kInterruptedStatus) << result.err;
}

TEST_F(ChatCommand, StatisticsAndSettings) {
  const std::string out = chat("ab\nab\n/stats\n/set top-k 3\n/set\n").out;
  EXPECT_NE(out.find("of them known from before"), std::string::npos) << out;
  EXPECT_NE(out.find("answer: 4 tokens"), std::string::npos) << out;
  EXPECT_NE(out.find("of 128 tokens; 0 messages of 4 left out"), std::string::npos) << out;
  EXPECT_NE(out.find("top-k 3\n"), std::string::npos) << out;
  EXPECT_NE(chat("/help\n").out.find("/regen"), std::string::npos);
  EXPECT_EQ(chat("/exit\nab\n").out, "");
}

TEST_F(ChatCommand, AnswersObeyAGrammarOrASchema) {
  test::write_bytes(file("g.gbnf"), "root ::= \"ab\" [xyz]{3} \"!\"");
  test::write_bytes(file("s.json"),
                    R"({"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 3})");
  for (const char* seed : {"1", "2", "3"}) {
    const CommandResult free = rotor(
        {"run", file("ends.rotor"), "-p", "ab", "--temp", "1.5", "-s", seed, "--grammar", file("g.gbnf")});
    EXPECT_EQ(free.status, 0) << free.err;
    EXPECT_TRUE(free.out.starts_with("ab") && free.out.ends_with("!\n") && free.out.size() == 7) << free.out;
    const CommandResult json = rotor({"chat", file("ends.rotor"), "-p", "ab", "--temp", "1.5", "-s", seed,
                                      "--json-schema", file("s.json"), "--no-history"});
    EXPECT_EQ(json.status, 0) << json.err;
    const Json list = parse_json(json.out, "answer");
    EXPECT_TRUE(list.size() == 2 || list.size() == 3) << json.out;
  }
  const auto refused = [&](std::vector<std::string> arguments, const std::string& part) {
    arguments.insert(arguments.begin(), {"run", file("ends.rotor"), "-p", "ab"});
    const CommandResult result = rotor(arguments);
    EXPECT_EQ(result.status, 1);
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  };
  refused({"--grammar", file("s.json")}, "line 1, column 1: expected the name of a rule");
  refused({"--grammar", file("g.gbnf"), "--json-schema", file("s.json")}, "found both");
  refused({"--grammar", file("g.gbnf"), "--ignore-eos"}, "--ignore-eos");
  refused({"--json-schema", file("none.json")}, "none.json");
  const CommandResult endless = rotor({"run", file("m.rotor"), "-p", "ab", "--grammar", file("g.gbnf")});
  EXPECT_NE(endless.err.find("a token that ends a text"), std::string::npos) << endless.err;
}

TEST_F(ChatCommand, ErrorsSayWhatToDo) {
  const auto expect = [](const CommandResult& result, const std::vector<std::string>& parts) {
    EXPECT_EQ(result.status, 1) << result.err;
    for (const std::string& part : parts) EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  };
  expect(chat("/none\nab\n"), {"/none", "/help"});
  expect(chat("/set temp hot\n"), {"/set temp", "\"hot\""});
  expect(chat("/set temp -1\n"), {"temperature"});
  expect(chat("/set heat 1\n"), {"\"heat\""});
  expect(chat("/regen\n"), {"no answer yet"});
  expect(chat("/stats\n"), {"no answer yet"});
  expect(chat("/load " + file("nothing.json") + "\n"), {"nothing.json"});
  expect(chat("/save\n"), {"/save: expected a file"});
  expect(chat(std::string(300, '!') + "\n"), {"the context has 128"});
  expect(chat("/save " + file("none/a.json") + "\n"), {"none/a.json", "cannot create"});
  expect(chat("a\xFF\n"), {"UTF-8"});
  expect(rotor({"chat", file("no_template.rotor")}), {"no_template.rotor", "--chat-template"});
  expect(rotor({"chat", file("bare.rotor")}), {"bare.rotor", "no tokenizer", "--tokens"});
  expect(rotor({"chat", file("m.rotor"), "-c", "129", "-p", "a"}), {"--ctx-size", "128", "129"});
  expect(rotor({"chat", file("m.rotor"), "-n", "-2", "-p", "a"}), {"--predict"});
  EXPECT_EQ(rotor({"chat"}).status, 2);
  EXPECT_NE(rotor({"chat", "--help"}).out.find("--system"), std::string::npos);
}

TEST_F(ChatCommand, OnATerminalLinesAreEditedAndCtrlCStopsTheAnswerAlone) {
  {
    test::Terminal terminal(on_terminal("long.rotor", {"-t", "1"}));
    terminal.wait_for("> ");
    terminal.type(
        "xb\x01\x04"
        "a\n");  // Ctrl-A, Ctrl-D: to the beginning, and the x goes
    terminal.wait_for("ab");
    terminal.wait_for("\r\n");
    terminal.type("\x03");
    terminal.wait_for("(stopped)");
    terminal.wait_for("> ");
    terminal.type("\x03");
    terminal.wait_for("(Ctrl-D or /exit ends)");
    terminal.wait_for("> ");
    terminal.type("/save " + file("typed.json") + "\n");
    terminal.wait_for("> ");
    terminal.type("\x04");
    EXPECT_EQ(terminal.wait(), 0);
  }
  const Json typed = read_json_file(file("typed.json"));
  ASSERT_EQ(typed.size(), 2U);
  EXPECT_EQ(typed[0]["content"], "ab");
  // What was typed is there the next time, and nobody else's to read.
  EXPECT_NE(test::read_bytes(file("state/rotor/chat_history")).find("ab"), std::string::npos);
  EXPECT_EQ(std::filesystem::status(file("state/rotor/chat_history")).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  test::Terminal terminal(on_terminal("m.rotor", {"-n", "4"}));
  terminal.wait_for("> ");
  terminal.type("\x10\x10\n");  // Ctrl-P: the line before the last
  terminal.wait_for("\r\n");
  terminal.wait_for("> ");
  terminal.type("/save " + file("again.json") + "\n");
  terminal.wait_for("> ");
  terminal.type("/stats\n");
  terminal.wait_for("answer: 4 tokens");
  terminal.type("/exit\n");
  EXPECT_EQ(terminal.wait(), 0);
  EXPECT_EQ(read_json_file(file("again.json"))[0]["content"], "ab");
}

}  // namespace
}  // namespace rotor
