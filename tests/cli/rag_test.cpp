// `rotor rag` as a user meets it.
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "tests/support/command.h"
#include "tests/support/encoders.h"
#include "tests/support/temp_dir.h"

namespace rotor {
namespace {

using test::CommandResult;
namespace fs = std::filesystem;

class RagCommand : public ::testing::Test {
 protected:
  RagCommand() {
    test::write_golden_encoder(encoder_);
    fs::create_directories(notes_);
    write("bees.md",
          "---\ntitle: Bees\nyear: 2026\n---\n# Swarms\n\nBees swarm in May and June.\n\n# Honey\n\nHoney is "
          "ripe in July.\n");
    write("garden.txt", "Water tomatoes in the morning.");
  }

  void write(const std::string& name, const std::string& text) {
    test::write_bytes(notes_ + "/" + name, text);
  }
  CommandResult rag(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {test::program("rotor"), "rag"});
    return test::run_command(arguments);
  }
  /// The same, which must succeed.
  std::string out(std::vector<std::string> arguments) {
    const CommandResult result = rag(std::move(arguments));
    EXPECT_EQ(result.status, 0) << result.err;
    return result.out;
  }
  void expect_refused(std::vector<std::string> arguments, const std::string& part, int status = 1) {
    const CommandResult result = rag(std::move(arguments));
    EXPECT_EQ(result.status, status) << result.err;
    EXPECT_NE(result.err.find(part), std::string::npos) << part << " in " << result.err;
  }
  Json added(std::vector<std::string> arguments) {
    arguments.push_back("--json");
    return parse_json(out(std::move(arguments)), "out");
  }
  std::vector<Json> lines(const std::string& text) {
    std::vector<Json> all;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) all.push_back(parse_json(line, "line"));
    return all;
  }

  const test::TempDir dir_;
  const std::string encoder_ = dir_.file("encoder.rotor");
  const std::string notes_ = fs::canonical(dir_.path()).string() + "/notes";
  const std::string base_ = dir_.file("notes.db");
};

TEST_F(RagCommand, FromAFolderToPassages) {
  const Json first = added({"add", base_, notes_, "--embedder", encoder_, "--meta", "team=garden"});
  EXPECT_EQ(first["added"], 2);
  EXPECT_EQ(first["documents"], 2);
  int64_t chunks = 0;
  for (const Json& document : lines(out({"list", base_, "--json"})))
    chunks += document["chunks"].get<int64_t>();
  EXPECT_EQ(first["chunks"], chunks);
  EXPECT_GE(chunks, 3);  // two sections and a file: the encoder of the tests has many tokens for a word
  const std::string shown = out({"search", base_, "when do bees swarm", "-n", "1", "--explain"});
  for (const char* part : {"1. Bees > Swarms", "bees.md, line 7", "words: rank 1, BM25", "vectors: rank",
                           "fused", "   Bees swarm in"}) {
    EXPECT_NE(shown.find(part), std::string::npos) << part << " in " << shown;
  }
  const Json found =
      parse_json(out({"search", base_, "honey", "--mode", "words", "--json", "--explain"}), "out");
  ASSERT_FALSE(found["results"].empty());
  EXPECT_EQ(found["results"][0]["heading"], "Bees > Honey");
  EXPECT_EQ(found["results"][0]["metadata"], Json({{"team", "garden"}, {"year", 2026}}));
  EXPECT_EQ(found["results"][0]["words"]["rank"], 1);
  EXPECT_EQ(out({"search", base_, "honey", "--mode", "words", "--filter", "year<2026"}), "");
}

TEST_F(RagCommand, FusionIsWeighed) {
  added({"add", base_, notes_, "--embedder", encoder_});
  for (const std::string k : {"60", "0", "7.5"}) {
    const Json found = parse_json(
        out({"search", base_, "bees swarm", "--fusion-k", k, "--words-share", "0.25", "--json", "--explain"}),
        "out");
    ASSERT_FALSE(found["results"].empty());
    for (const Json& one : found["results"]) {
      const auto part = [&](const char* list, double share) {
        return one[list].is_null() ? 0.0 : share / (std::stod(k) + one[list]["rank"].get<double>());
      };
      EXPECT_NEAR(one["fused"].get<double>(), part("words", 0.25) + part("vectors", 0.75), 1e-12) << k;
    }
  }
  const std::vector<std::string> search = {"search", base_, "bees swarm", "--json"};
  const auto with = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), search.begin(), search.end());
    return out(arguments);
  };
  EXPECT_EQ(with({}), with({"--fusion-k", "60"}));
  expect_refused({"search", base_, "x", "--fusion-k", "-1"}, "k of the fusion: expected 0 or more");
}

TEST_F(RagCommand, UpdatesRemovesListsAndExports) {
  added({"add", base_, notes_, "--embedder", encoder_});
  write("garden.txt", "Water tomatoes in the evening.");
  write("new.txt", "A new note.");
  fs::remove(notes_ + "/bees.md");
  const Json updated = added({"update", base_});
  EXPECT_EQ(updated["added"], 1);
  EXPECT_EQ(updated["updated"], 1);
  EXPECT_EQ(updated["removed"], 1);
  const auto listed = lines(out({"list", base_, "--json"}));
  ASSERT_EQ(listed.size(), 2U);
  EXPECT_EQ(listed[0]["id"], notes_ + "/garden.txt");
  EXPECT_GE(listed[1]["chunks"], 1);
  const auto exported = lines(out({"export", base_, "--vectors", "--filter", "title=garden"}));
  ASSERT_EQ(exported.size(), 1U);
  EXPECT_EQ(exported[0]["chunks"][0]["text"], "Water tomatoes in the evening.");
  EXPECT_EQ(exported[0]["chunks"][0]["vector"].size(), 36U);
  EXPECT_EQ(added({"update", base_, notes_ + "/new.txt"})["unchanged"], 1);
  EXPECT_EQ(added({"remove", base_, notes_ + "/new.txt"})["removed"], 1);
  EXPECT_EQ(added({"remove", base_, "--filter", "title=garden"})["removed"], 1);
  EXPECT_EQ(added({"remove", base_, notes_})["removed"], 0) << "the folder itself is forgotten";
  expect_refused({"update", base_}, "no files or folders were added");
  EXPECT_EQ(out({"list", base_}), "");
}

TEST_F(RagCommand, WordsAloneNeedNoModel) {
  const Json first = added({"add", base_, notes_ + "/garden.txt", notes_ + "/bees.md"});
  EXPECT_EQ(first["added"], 2);
  EXPECT_NE(out({"search", base_, "tomatoes"}).find("Water tomatoes"), std::string::npos);
  expect_refused({"search", base_, "tomatoes", "--mode", "vectors"}, "no vectors");
  expect_refused({"add", base_, notes_, "--embedder", encoder_}, "words alone");
}

TEST_F(RagCommand, OneBadFileDoesNotKeepTheOthersOut) {
  write("broken.pdf", "%PDF-1.7 and nothing else");
  const CommandResult result = rag({"add", base_, notes_, "--json"});
  EXPECT_EQ(result.status, 1);
  EXPECT_NE(result.err.find("not taken: " + notes_ + "/broken.pdf"), std::string::npos) << result.err;
  const Json counts = parse_json(result.out, "out");
  EXPECT_EQ(counts["added"], 2);
  EXPECT_EQ(counts["failed"], 1);
}

TEST_F(RagCommand, SaysWhatIsWrong) {
  expect_refused({"search", base_, "x"}, "no such knowledge base");
  expect_refused({"add", base_, dir_.file("none")}, "no such file or folder");
  expect_refused({"add", base_, notes_, "--kind", "word"}, "found \"word\"");
  expect_refused({"add", base_, notes_, "--meta", "x"}, "NAME=VALUE");
  expect_refused({"add", base_, notes_, "--embedder", encoder_, "--chunk-tokens", "100"}, "at most 22");
  EXPECT_FALSE(fs::exists(base_));
  added({"add", base_, notes_});
  expect_refused({"add", base_, notes_, "--chunk-tokens", "100"}, "is there already");
  expect_refused({"search", base_, "x", "-n", "0"}, "at least 1");
  expect_refused({"search", base_, "x", "--mode", "x"}, "hybrid, words or vectors");
  expect_refused({"search", base_, "x", "--filter", "x"}, "x");
  expect_refused({"remove", base_, "nobody"}, "found nobody");
  expect_refused({"remove", base_}, "either names or --filter", 2);
  expect_refused({"export", base_, "--vectors"}, "has none");
  expect_refused({"update", base_, dir_.path() + "/other"}, "in no file or folder");
  expect_refused({"nothing"}, "unknown command", 2);
  test::write_bytes(dir_.file("text.db"), "not a base, but some text that is long enough to look like one");
  expect_refused({"list", dir_.file("text.db")}, "text.db");
}

}  // namespace
}  // namespace rotor
