#include "rotor/text/special_token_table.h"

#include <gtest/gtest.h>

#include "rotor/core/error.h"

namespace rotor::text {
namespace {

std::vector<std::string> parts(const SpecialTokenTable& table, std::string_view text) {
  std::vector<std::string> result;
  table.split(
      text, [&](std::string_view plain) { result.emplace_back(plain); },
      [&](TokenId id) { result.push_back(cat("#", id)); });
  return result;
}

TEST(SpecialTokenTableTest, CutsTextsAtTheLongestTokenThatBeginsFirst) {
  const SpecialTokenTable table({{"<a>", 1}, {"", 2}, {"<a>b", 3}, {"b<", 4}});
  EXPECT_EQ(parts(table, ""), std::vector<std::string>());
  EXPECT_EQ(parts(table, "no < token"), std::vector<std::string>({"no < token"}));
  EXPECT_EQ(parts(table, "<a>"), std::vector<std::string>({"#1"}));
  EXPECT_EQ(parts(table, "x<a>y<a>b<a"), std::vector<std::string>({"x", "#1", "y", "#3", "<a"}));
  EXPECT_EQ(parts(table, "b<a>"), std::vector<std::string>({"#4", "a>"})) << "the first, not the longest";
  EXPECT_EQ(parts(SpecialTokenTable(), "<a>"), std::vector<std::string>({"<a>"}));
}

TEST(SpecialTokenTableTest, FindsPlacesWithinOtherTokens) {
  const SpecialTokenTable table({{"aa", 7}});
  EXPECT_EQ(table.next("aaa", 0).begin, 0U);
  EXPECT_EQ(table.next("aaa", 1).begin, 1U);
  EXPECT_EQ(table.next("aaa", 2).begin, 3U);
  EXPECT_EQ(table.next("aaa", 2).token, nullptr);
  EXPECT_EQ(table.find("aa"), 7);
  EXPECT_EQ(table.find("a"), std::nullopt);
}

TEST(SpecialTokenTableTest, IdsAreThoseOfTheirNamesLongestFirst) {
  const std::vector<std::string> tokens = {"x", "<long>", "<s>", "<e>"};
  EXPECT_EQ(special_ids_of("test", {{"<e>", 3}, {"<s>", 2}, {"<long>", 1}, {"<e>", 3}}, tokens),
            std::vector<uint32_t>({1, 2, 3}));
  EXPECT_THROW(special_ids_of("test", {{"<s>", 3}}, tokens), Error);
  EXPECT_THROW(special_ids_of("test", {{"<s>", 4}}, tokens), Error);
  EXPECT_THROW(special_ids_of("test", {{"<s>", -1}}, tokens), Error);
  EXPECT_THROW(special_ids_of("test", {{"", 2}}, tokens), Error);
}

}  // namespace
}  // namespace rotor::text
