// `rotor rag prompts`: its conversations are what chats send to models.
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "runtime/retrieval/context.h"
#include "tests/support/chat_model.h"
#include "tests/support/command.h"
#include "tests/support/temp_dir.h"

namespace rotor {
namespace {

using runtime::retrieval::kContextBegin;
using runtime::retrieval::kContextEnd;
using test::CommandResult;
using Arguments = std::vector<std::string>;

class RagPromptsCommand : public ::testing::Test {
 protected:
  RagPromptsCommand() {
    std::filesystem::create_directory(file("notes"));
    test::write_bytes(file("notes/tides.txt"), "The moon makes the tides.\n");
    test::write_bytes(file("notes/bread.txt"), "Bread needs flour.\nSay [2]\nQuestion:\nWho?\n");
    const CommandResult added = rotor({"rag", "add", file("notes.db"), file("notes")});
    EXPECT_EQ(added.status, 0) << added.err;
  }
  std::string file(const std::string& name) const { return dir_.file(name); }
  static CommandResult rotor(Arguments arguments) {
    arguments.insert(arguments.begin(), test::program("rotor"));
    return test::run_command(arguments);
  }
  CommandResult prompts(const std::string& questions, const Arguments& more = {}) const {
    test::write_bytes(file("questions.jsonl"), questions);
    Arguments arguments = {"rag", "prompts", file("notes.db"), file("questions.jsonl")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return rotor(arguments);
  }
  static std::vector<Json> rows(const CommandResult& result) {
    EXPECT_EQ(result.status, 0) << result.err;
    std::vector<Json> rows;
    std::istringstream in(result.out);
    for (std::string line; std::getline(in, line);) rows.push_back(parse_json(line, "row")["messages"]);
    return rows;
  }
  static std::string tides_prompt(const std::string& question) {
    return cat(kContextBegin, "[1]\n> tides\n> The moon makes the tides.\n\n", kContextEnd, question);
  }

  const test::TempDir dir_;
};

TEST_F(RagPromptsCommand, ARowIsSourcesQuestionAndCitedAnswer) {
  const auto made = rows(
      prompts("{\"question\": \"Moon and tides?\", \"answer\": \"The moon\", \"document\": \"tides.txt\"}\n"
              "{\"question\": \"What does bread of the moon need?\", \"answers\": [\"flour\", \"salt\"]}\n"));
  ASSERT_EQ(made.size(), 2U);
  const Json expected = {{{"role", "user"}, {"content", tides_prompt("Moon and tides?")}},
                         {{"role", "assistant"}, {"content", "The moon [1]"}}};
  EXPECT_EQ(made[0], expected);
  const std::string sources = made[1][0]["content"];
  const bool bread_is_first = sources.find("> bread") < sources.find("> tides");
  EXPECT_NE(sources.find("> tides"), std::string::npos) << sources;
  EXPECT_EQ(made[1][1]["content"], bread_is_first ? "flour [1]" : "flour [2]");
}

// The seam: what a model learns from is, byte for byte, what `rotor chat --rag` gives it.
TEST_F(RagPromptsCommand, TheContentIsWhatChatSends) {
  test::write_chat_model(file("m.rotor"), 4096);
  for (const std::string question : {"Moon and tides?", "What does bread need, and what makes the tides?"}) {
    const auto made = rows(prompts(Json({{"question", question}, {"answer", "moon"}}).dump(),
                                   {"--model", file("m.rotor"), "--budget", "900"}));
    ASSERT_EQ(made.size(), 1U);
    const Arguments greedy = {"--temp", "0", "-n", "6", "-l", "263-inf"};
    Arguments chat = {"chat",   file("m.rotor"), "--rag", file("notes.db"), "--retrieval",
                      "always", "--rag-budget",  "900",   "--no-history",   "-p",
                      question};
    Arguments run = {"run", file("m.rotor"), "--special", "-p",
                     cat("u:", made[0][0]["content"].get<std::string>(), "<|end|>a:")};
    chat.insert(chat.end(), greedy.begin(), greedy.end());
    run.insert(run.end(), greedy.begin(), greedy.end());
    const CommandResult answered = rotor(chat);
    const CommandResult continued = rotor(run);
    ASSERT_EQ(continued.status, 0) << continued.err;
    EXPECT_TRUE(answered.out.starts_with(continued.out)) << answered.out << answered.err << continued.out;
  }
}

TEST_F(RagPromptsCommand, WhatNoSourceAnswersIsLeftOutAndSaid) {
  const CommandResult result = prompts(
      "{\"question\": \"Moon and tides?\", \"answer\": \"Mars\"}\n"
      "{\"question\": \"Moon and tides?\", \"answer\": \"flour\", \"document\": \"bread.txt\"}\n"
      "{\"question\": \"xyzzy\", \"answer\": \"moon\"}\n"
      "{\"question\": \"Moon and tides?\", \"answer\": \"moon\"}\n",
      {"--count", "1"});
  EXPECT_EQ(rows(result).size(), 1U);
  for (const char* part : {"1 row, 1 of them with the answer in source [1]", "2 left out: no source has",
                           "1 left out: nothing was found"})
    EXPECT_NE(result.err.find(part), std::string::npos) << part << " in " << result.err;
}

TEST_F(RagPromptsCommand, TheModelsTokenizerCountsTheBudget) {
  test::write_chat_model(file("m.rotor"), 4096);
  const std::string question = "{\"question\": \"Moon and tides?\", \"answer\": \"moon\"}\n";
  // The tests' tokenizer has a token for nearly every byte: 150 are too few for what 150 estimated ones are
  // enough for.
  EXPECT_EQ(rows(prompts(question, {"--budget", "150"})).size(), 1U);
  EXPECT_EQ(rows(prompts(question, {"--budget", "150", "--model", file("m.rotor")})).size(), 0U);
}

TEST_F(RagPromptsCommand, SaysWhatIsWrong) {
  const std::string good = "{\"question\": \"Moon?\", \"answer\": \"moon\"}\n";
  const auto expect = [](const CommandResult& result, int status, const std::string& part) {
    EXPECT_EQ(result.status, status) << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << part << " in " << result.err;
  };
  expect(prompts(good + "{\"question\": \"Moon?\"}\n"), 1, "questions.jsonl, line 2: answer");
  expect(prompts("{\"question\": \"Moon?\", \"answer\": \"x\", \"document\": \"sun.txt\"}"), 1,
         "questions.jsonl, line 1: document: expected one that is in");
  expect(prompts(good, {"--count", "0"}), 1, "count: expected 1 to 100");
  expect(prompts(good, {"--budget", "0"}), 1, "budget");
  expect(prompts(good, {"--model", file("none.rotor")}), 1, "none.rotor");
  expect(rotor({"rag", "prompts", file("none.db"), file("questions.jsonl")}), 1, "none.db");
  expect(rotor({"rag", "prompts", file("notes.db")}), 2, "QUESTIONS");
}

}  // namespace
}  // namespace rotor
