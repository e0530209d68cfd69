// Questions with known answers: how they are read, when an answer is right, and which sources hold it.
#include "runtime/retrieval/question_set.h"

#include <gtest/gtest.h>

#include "rotor/core/error.h"
#include "runtime/retrieval/context.h"
#include "tests/rag/rag_fixture.h"

namespace rotor::runtime::retrieval {
namespace {

using Numbers = std::vector<int64_t>;
using test::document_of;

class QuestionFile : public ::testing::Test {
 protected:
  std::string write(const std::string& text) const {
    test::write_bytes(dir_.file("questions.jsonl"), text);
    return dir_.file("questions.jsonl");
  }
  void expect_refused(const std::string& text, const std::string& part) const {
    try {
      read_questions(write(text));
      ADD_FAILURE() << text << " was taken";
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
    }
  }

 private:
  test::TempDir dir_;
};

TEST_F(QuestionFile, BothShapesAreRead) {
  const auto questions = read_questions(
      write("{\"question\": \"Who?\", \"answer\": \"Ann\", \"document\": \"a.txt\", \"more\": 1}\n\n"
            "{\"question\": \"When?\", \"answers\": [\"now\", \"today\"], \"passage_id\": 7}\n"
            "{\"question\": \"Where?\", \"answer\": \"here\", \"document\": null}"));
  ASSERT_EQ(questions.size(), 3U);
  EXPECT_EQ(questions[0].question, "Who?");
  EXPECT_EQ(questions[0].answers, std::vector<std::string>{"Ann"});
  EXPECT_EQ(questions[0].document, "a.txt");
  EXPECT_EQ(questions[1].answers, (std::vector<std::string>{"now", "today"}));
  EXPECT_EQ(questions[1].document, "7");
  EXPECT_TRUE(questions[1].where.ends_with("questions.jsonl, line 3"));
  EXPECT_EQ(questions[2].document, "");
}

TEST_F(QuestionFile, ErrorsNameFileAndLine) {
  const std::string good = "{\"question\": \"Who?\", \"answer\": \"Ann\"}\n";
  expect_refused(good + "{\"question\": \"Who?\"}",
                 "questions.jsonl, line 2: answer: expected a text, found none");
  expect_refused(good + "{\"question\": 3, \"answer\": \"x\"}", "line 2: question: expected a text, found 3");
  expect_refused("{\"question\": \"x\", \"answers\": []}", "line 1: answers: expected an array of texts");
  expect_refused("{\"question\": \"x\", \"answers\": [\"\"]}", "line 1: answers");
  expect_refused("{\"question\": \"x\", \"answer\": \"x\", \"document\": [1]}", "line 1: document");
  expect_refused("[1]", "line 1: expected an object");
  expect_refused(good + "{", "line 2");
  expect_refused("\n", "expected questions");
  EXPECT_THROW(read_questions("/nowhere/questions.jsonl"), Error);
}

TEST(NormalizedAnswer, AsSquadDoes) {
  EXPECT_EQ(normalized_answer("  The  Broncos' \"Von\tMiller\" (an MVP)\n"), "broncos von miller mvp");
  EXPECT_EQ(normalized_answer("1,000.5 km/h"), "10005 kmh");
  EXPECT_EQ(normalized_answer("An a THE"), "");
  EXPECT_EQ(normalized_answer("Zo\xC3\xAB"), "zo\xC3\xAB");
}

TEST(HasAnswer, WholeWordsOfAnyAnswer) {
  const std::vector<std::string> answers = {"308", "three hundred"};
  EXPECT_TRUE(has_answer("They gave up just 308 points.", answers));
  EXPECT_TRUE(has_answer("Three hundred!", answers));
  EXPECT_FALSE(has_answer("They gave up 3080 points, or 1308.", answers));
  EXPECT_FALSE(has_answer("hundred three", answers));
  EXPECT_FALSE(has_answer("anything", std::vector<std::string>{"the"})) << "no words to be found";
}

class RightSourcesTest : public test::BaseFixture {
 protected:
  RightSourcesTest() {
    create("", 0, {.max_tokens = 16, .overlap_tokens = 0});
    store_ = open();
    rag::KnowledgeBase base(store_, nullptr);
    base.put(document_of(
        "/notes/tides.md",
        "#Tides\n\nThe moon makes the tides of all seas.\n\n#Rest\n\nIn winter the sea is cold and grey."));
    base.put(document_of("/notes/moon.jsonl#1", "The moon is far away."));
    base.put(document_of("/other/moon.jsonl#1", "The moon is made of rock."));
  }
  /// The right ones among all sections of all documents, in the order of their ids.
  Numbers right(const AnsweredQuestion& question) {
    const RightSources right(*store_, std::vector{question});
    std::vector<FoundSource> found;
    const auto snapshot = store_->records();
    for (const auto& document : snapshot->documents({}, "", 10)) {
      for (const auto& chunk : snapshot->chunks_of(document.id)) found.push_back({chunk, std::nullopt});
    }
    sources_ = make_context(found, 10'000, rag::estimate_tokens).sources;
    return right.of(question, sources_);
  }
  void expect_refused(const std::string& document, const std::string& part) {
    try {
      right({"x", {"x"}, document, "q.jsonl, line 4"});
      ADD_FAILURE() << document << " was found";
    } catch (const Error& e) {
      EXPECT_EQ(std::string(e.what()).find("q.jsonl, line 4: document"), 0U) << e.what();
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
    }
  }

  std::shared_ptr<rag::Store> store_;
  std::vector<Source> sources_;
};

TEST_F(RightSourcesTest, OfTheDocumentThoseWithTheWordsFirst) {
  ASSERT_EQ(right({"x", {"cold"}, "tides.md", ""}), (Numbers{3, 2}));
  EXPECT_EQ(sources_.size(), 4U);
  EXPECT_EQ(right({"x", {"nothing of it"}, "tides.md", ""}), (Numbers{2, 3}));
  EXPECT_EQ(right({"x", {"rock"}, "/notes/moon.jsonl#1", ""}), Numbers{1});
  EXPECT_EQ(right({"x", {"rock"}, "other/moon.jsonl#1", ""}), Numbers{4});
}

TEST_F(RightSourcesTest, WithoutADocumentAllThatHaveTheWords) {
  EXPECT_EQ(right({"x", {"the Moon"}, "", ""}), (Numbers{1, 2, 4}));
  EXPECT_EQ(right({"x", {"Mars"}, "", ""}), Numbers{});
}

TEST_F(RightSourcesTest, ACutSourceIsOfItsDocument) {
  const AnsweredQuestion question{"x", {"far"}, "/notes/moon.jsonl#1", ""};
  right(question);
  Source cut = sources_.at(0);
  cut.text = cut.text.substr(0, 8);
  cut.cut = true;
  const RightSources right(*store_, std::vector{question});
  EXPECT_EQ(right.of(question, std::vector{cut}), Numbers{1});
  cut.title = "another";
  EXPECT_EQ(right.of(question, std::vector{cut}), Numbers{});
}

TEST_F(RightSourcesTest, NamesThatMeanNoneOrSeveral) {
  expect_refused("ides.md", "found \"ides.md\"");
  expect_refused("1", "which may be /");
  expect_refused("moon.jsonl#1", "/other/moon.jsonl#1");
}

}  // namespace
}  // namespace rotor::runtime::retrieval
