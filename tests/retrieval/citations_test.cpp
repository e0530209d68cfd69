// Which sources an answer names, and what of a conversation is searched for.
#include "runtime/retrieval/citations.h"

#include <gtest/gtest.h>

#include "runtime/retrieval/question.h"
#include "runtime/retrieval/relevance.h"

namespace rotor::runtime::retrieval {
namespace {

using Numbers = std::vector<int64_t>;

TEST(Citations, NumbersInBracketsInOrderOfAppearance) {
  EXPECT_EQ(cited_sources("Tides come twice a day [2]. The moon pulls [1][3], [2].", 3), (Numbers{2, 1, 3}));
  EXPECT_EQ(cited_sources("So [3, 1] and [2;3]", 3), (Numbers{3, 1, 2}));
  EXPECT_EQ(cited_sources("[ 2 ]", 2), (Numbers{2}));
  EXPECT_EQ(cited_sources("[[1]]", 1), (Numbers{1}));
  EXPECT_EQ(cited_sources("", 3), Numbers{});
}

TEST(Citations, WhatIsNoSourceIsNone) {
  for (const char* text : {"[0]",   "[4]",   "[-1]",   "[+1]", "[1",
                           "1]",    "[]",    "[1,]",   "[,1]", "[1 2]",
                           "[1a]",  "[a1]",  "[1.2]",  "[ ]",  "[99999999999999999999]",
                           "[1-2]", "[\n1]", "[1,4x]", "(1)",  "[\xC2\xB9]"}) {
    EXPECT_EQ(cited_sources(text, 3), Numbers{}) << text;
  }
  EXPECT_EQ(cited_sources("[4, 1]", 3), (Numbers{1})) << "those that exist";
  EXPECT_EQ(cited_sources("[1]", 0), Numbers{});
  EXPECT_EQ(cited_sources("[x [2]", 3), (Numbers{2}));
  EXPECT_EQ(cited_sources("[" + std::string(1000, ' ') + "1]", 3), Numbers{});
}

OrderedJson said(std::initializer_list<std::pair<const char*, std::string>> messages) {
  OrderedJson list = OrderedJson::array();
  for (const auto& [role, text] : messages) list.push_back({{"role", role}, {"content", text}});
  return list;
}

TEST(SearchQuestion, IsTheLastMessageWithTheOneBeforeIfItIsShort) {
  const std::string question = "When does the museum open on Sundays?";
  EXPECT_EQ(search_question(said({{"system", "s"}, {"user", question}})), question);
  EXPECT_EQ(search_question(said({{"user", "And in winter?"}})), "And in winter?") << "nothing is before it";
  EXPECT_EQ(
      search_question(said({{"user", question}, {"assistant", "At ten."}, {"user", " And in winter?\n"}})),
      question + "\nAnd in winter?");
  EXPECT_EQ(search_question(said({{"user", "x"}, {"assistant", "y"}, {"user", question}})), question);
  EXPECT_EQ(search_question(said({{"user", question}, {"user", "four words are few"}})),
            question + "\nfour words are few");
  EXPECT_EQ(search_question(said({{"user", question}, {"user", "but five are not few"}})),
            "but five are not few");
  EXPECT_EQ(search_question(said({{"user", question}, {"tool", "42"}})), question);
  EXPECT_EQ(search_question(said({{"system", "s"}})), "");
  EXPECT_EQ(search_question(said({{"user", " \n"}})), "");
  EXPECT_EQ(search_question(OrderedJson::array()), "");
}

TEST(SearchQuestion, OfALongMessageTheEndCounts) {
  std::string text;
  for (int i = 0; i < 600; ++i) text += "é";
  const std::string question = search_question(said({{"user", "x" + text + " what is it?"}}));
  EXPECT_LE(question.size(), 1000U);
  EXPECT_GE(question.size(), 998U);
  EXPECT_TRUE(question.starts_with("é"));
  EXPECT_TRUE(question.ends_with(" what is it?"));
}

TEST(ShareOfWords, IsBetweenNothingAndAll) {
  EXPECT_EQ(share_of_words("capital of France", "Paris is the CAPITAL of France."), 1.0);
  EXPECT_EQ(share_of_words("capital of France", "Bread and butter"), 0.0);
  EXPECT_EQ(share_of_words("?!", "Bread"), 0.0);
  EXPECT_EQ(share_of_words("bread", ""), 0.0);
  // 49 of 49 + 4 + 36.
  EXPECT_NEAR(share_of_words("capital of France", "a capital letter"), 49.0 / 89.0, 1e-12);
  EXPECT_EQ(share_of_words("stars", "a star"), 1.0);
  EXPECT_EQ(share_of_words("star", "start of it"), 1.0) << "the price of so simple a stem";
  EXPECT_EQ(share_of_words("cat", "cats"), 0.0) << "three letters are no stem";
  EXPECT_LT(share_of_words("What is the capital of France?", "What is the use of it, and the cost of that?"),
            0.35)
      << "short words alone do not reach the usual threshold";
}

}  // namespace
}  // namespace rotor::runtime::retrieval
