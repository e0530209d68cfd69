// GBNF grammars: what they match and what not, what is refused and where, and that hostile ones stay small.
#include "runtime/grammar/gbnf.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/temp_dir.h"

namespace rotor::runtime::grammar {
namespace {

using test::expect_error;

void expect_texts(const std::string& grammar, const std::vector<std::string>& members,
                  const std::vector<std::string>& others) {
  const auto compiled = parse_gbnf(grammar, "g");
  for (const std::string& text : members) EXPECT_TRUE(compiled->matches(text)) << grammar << ": " << text;
  for (const std::string& text : others) EXPECT_FALSE(compiled->matches(text)) << grammar << ": " << text;
}

TEST(Gbnf, MatchesWhatItsPartsSay) {
  expect_texts("root ::= \"yes\" | \"no\"", {"yes", "no"}, {"", "ye", "yesno", "y"});
  expect_texts("root ::= [a-cx]+ \"-\"? [^0-9]", {"a-z", "abc-é", "xx"}, {"x", "d-z", "a-1", "a--z1"});
  expect_texts("root ::= (\"a\" | \"b\" \"c\")* \".\"", {".", "abca.", "bc."}, {"b.", "ac", "cb."});
  expect_texts("root ::= \"a\"{2} \"b\"{1,3} \"c\"{2,} \"d\"{0,1}", {"aabcc", "aabbbccccd"},
               {"abcc", "aabbbbcc", "aabc", "aabccdd"});
  expect_texts("root ::= . \"!\"", {"x!", "\n!", "é!", "\xF0\x9F\x98\x80!"}, {"!", "xx!", "\xC3!", "\x80!"});
  expect_texts("root ::= \"\\x41\\u00e9\\U0001F600\\t\\\"\\\\\" [\\]\\-a]",
               {"Aé\xF0\x9F\x98\x80\t\"\\]", "Aé\xF0\x9F\x98\x80\t\"\\-"}, {"Aé\xF0\x9F\x98\x80\t\"\\b"});
  expect_texts("root ::= \"\" | sign? digits\nsign ::= [+-]\n\ndigits ::= [0-9] digits?", {"", "-12", "7"},
               {"-", "1-", "+ 1"});
}

TEST(Gbnf, RulesMayBeSpreadOverLinesAndCommented) {
  expect_texts(
      "# what it is\nroot ::=\n  \"a\" (\n    \"b\" | # or\n    \"c\"\n  )* end # more\n\nend ::= \".\"\r\n  "
      "| \"!\" |\n\"?\"\n",
      {"abcb.", "a!", "a?"}, {"ab", "b."});
}

TEST(Gbnf, RecursionMayNest) {
  const std::string balanced = "root ::= pair*\npair ::= \"(\" root \")\"";
  expect_texts(balanced, {"", "()", "(()())()"}, {"(", ")", "(()"});
  const std::string deep(120, '(');  // two rules each, of 256
  EXPECT_TRUE(parse_gbnf(balanced, "g")->matches(deep + std::string(120, ')')));
  // Rules that call themselves last take no stack, however long the text.
  expect_texts("root ::= [a-z] root | \".\"", {std::string(5000, 'x') + "."}, {std::string(5000, 'x')});
  // Two brackets from one place: stacks that differ only below stay together.
  expect_texts("root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"a\"",
               {std::string(100, 'a') + std::string(99, 'b'), "aaacb"}, {"aab b", "aabb"});
}

TEST(Gbnf, LargeCountsAreExact) {
  for (const int count : {17, 100, 1000, 1001}) {
    const auto grammar = parse_gbnf("root ::= ([a-y] [0-9] | \"z\"){3," + std::to_string(count) + "}", "g");
    for (const int length : {0, 2, 3, 4, count / 2, count - 1, count, count + 1}) {
      EXPECT_EQ(grammar->matches(std::string(static_cast<size_t>(length), 'z')),
                length >= 3 && length <= count)
          << count << " " << length;
    }
  }
  EXPECT_LT(parse_gbnf("root ::= ([a-y] [0-9] | \"z\"){100000}", "g")->num_positions(), 3000U);
  const auto exact = parse_gbnf("root ::= (\"a\" | \"bc\"){1000}", "g");
  EXPECT_TRUE(exact->matches(std::string(1000, 'a')));
  EXPECT_FALSE(exact->matches(std::string(999, 'a')));
  EXPECT_FALSE(exact->matches(std::string(1001, 'a')));
}

TEST(Gbnf, SaysWhereItIsBroken) {
  const auto refused = [](const std::string& grammar, const std::vector<std::string>& parts) {
    expect_error([&] { parse_gbnf(grammar, "g.gbnf"); }, parts);
  };
  refused("", {"g.gbnf", "root", "none"});
  refused("start ::= \"a\"", {"rule named root"});
  refused("root := \"a\"", {"line 1, column 6", "\"::=\""});
  refused("root ::= \"a\nb\"", {"line 1, column 12", "closing"});
  refused("root ::= [a-", {"line 1", "closing ]"});
  refused("root ::= [z-a]", {"line 1, column 11", "ascends", "z-a"});
  refused("root ::= (\"a\"", {"line 1, column 14", "\")\"", "end of the text"});
  refused("root ::= \"a\" )", {"line 1, column 14", "found \")\""});
  refused("root ::= \"\\q\"", {"line 1, column 11", "escapes"});
  refused("root ::= \"\\ud800\"", {"column 11", "Unicode"});
  refused("root ::= \"\\x4\"", {"hexadecimal", "found \"\"\""});
  refused("root ::= \"\xFF\"", {"column 11", "UTF-8"});
  refused("root ::= \"a\"{3,2}", {"m <= n", "{3,2}"});
  refused("root ::= \"a\"{x}", {"column 14", "a count", "\"x\""});
  refused("root ::= \"a\"{100001}", {"100000"});
  refused("root ::= a\n", {"line 1, column 10", "rule a", "not defined"});
  refused("root ::= \"a\"\nroot ::= \"b\"", {"line 2, column 1", "each rule once"});
}

TEST(Gbnf, RefusesWhatNeverEnds) {
  const auto refused = [](const std::string& grammar, const std::vector<std::string>& parts) {
    expect_error([&] { parse_gbnf(grammar, "g"); }, parts);
  };
  refused("root ::= root \"a\" | \"b\"", {"rule root", "begin with itself"});
  refused("root ::= a\na ::= \"x\"? b\nb ::= \"\" a \"y\" | \"z\"", {"begin with itself"});
  refused("root ::= \"a\" root", {"rule root", "ends"});
  refused("root ::= []", {"ends"});
  // A way that never ends is not taken.
  expect_texts("root ::= \"a\" | \"b\" endless\nendless ::= \"c\" endless", {"a"}, {"b", "bc"});
  expect_texts("root ::= (\"a\"*)* (\"\" | \"b\"?)*", {"", "aab", "bbb"}, {"ba"});
}

TEST(Gbnf, HostileGrammarsAreRefusedSoon) {
  std::string nested = "root ::= ";
  for (int i = 0; i < 1000; ++i) nested += "(";
  expect_error([&] { parse_gbnf(nested, "g"); }, {"inside one another"});
  std::string chain = "root ::= a0\n";
  for (int i = 0; i < 400; ++i) {
    chain += "a" + std::to_string(i) + " ::= \"(\" a" + std::to_string(i + 1) + " \")\"\n";
  }
  expect_error([&] { parse_gbnf(chain + "a400 ::= \"x\"", "g"); }, {"at most 256 rules inside"});
  std::string large = "root ::= ";
  for (int i = 0; i < 60000; ++i) large += "\"0123456789\" |";
  expect_error([&] { parse_gbnf(large + "\"x\"", "g"); }, {"at most"});
  expect_error([&] { parse_gbnf(std::string(2 << 20, '#'), "g"); }, {"bytes"});
  EXPECT_NO_THROW(parse_gbnf("root ::= ((((\"a\"{100}){100}){100}){100}){100}", "g"));
}

/// Each suffix is a part around the one before: so many would take the builder down the whole stack.
TEST(Gbnf, SuffixesAreGroups) {
  for (const std::string suffix : {"?", "*", "+", "{2}", " ? "}) {
    std::string chain = "root ::= \"a\"";
    for (int i = 0; i < 150000; ++i) chain += suffix;
    expect_error([&] { parse_gbnf(chain, "g"); }, {"g: line 1", "at most 100 of * + ? {"});
  }
  expect_texts("root ::= \"a\"?*{1} \"b\"", {"b", "aab"}, {"a", "ba"});
}

TEST(Gbnf, BuildersRefuseWhatIsTooDeep) {
  GrammarBuilder builder("g", kGbnfDepth);
  GrammarBuilder::Expression part = builder.literal("a");
  expect_error(
      [&] {
        for (size_t i = 0; i <= kMaxExpressionDepth; ++i) part = builder.optional(part);
      },
      {"g: ", "inside one another"});
  const GrammarBuilder::Rule root = builder.declare("root");
  builder.define(root, part);
  EXPECT_TRUE(builder.build(root)->matches("a"));  // the deepest there is
}

}  // namespace
}  // namespace rotor::runtime::grammar
