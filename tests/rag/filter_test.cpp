#include "runtime/rag/filter.h"

#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"

namespace rotor::test {
namespace {

using namespace runtime::rag;
using Relation = Condition::Relation;

TEST(Filter, ConditionsAreRead) {
  const auto expect = [](const char* text, const char* field, Relation relation, const char* value) {
    const Condition condition = parse_condition(text);
    EXPECT_EQ(condition.field, field) << text;
    EXPECT_EQ(condition.relation, relation) << text;
    EXPECT_EQ(condition.value, value) << text;
  };
  expect("year=2020", "year", Relation::equal, "2020");
  expect("year!=2020", "year", Relation::not_equal, "2020");
  expect("year<2020", "year", Relation::less, "2020");
  expect("year<=2020", "year", Relation::at_most, "2020");
  expect("year>2020", "year", Relation::greater, "2020");
  expect("year>=2020", "year", Relation::at_least, "2020");
  expect("source^=notes/", "source", Relation::begins_with, "notes/");
  expect("formula=a=b", "formula", Relation::equal, "a=b");
  expect("empty=", "empty", Relation::equal, "");
  for (const char* bad : {"", "year", "=2020", "year!2020", "year^2020"}) {
    expect_error([&] { parse_condition(bad); }, {"filter", "FIELD=VALUE", bad});
  }
}

TEST(Filter, FieldsOfDocuments) {
  const Json metadata = {
      {"year", 2020}, {"tags", {"a", "b"}}, {"draft", true}, {"none", nullptr}, {"id", "not this"}};
  std::vector<std::string> seen;
  for (const FieldValue& value : field_values("i", "s", "t", metadata))
    seen.push_back(value.field + "=" + value.text);
  EXPECT_EQ(seen, (std::vector<std::string>{"id=i", "source=s", "title=t", "draft=true", "tags=a", "tags=b",
                                            "year=2020"}));
  expect_error([] { field_values("", "", "", Json::array()); }, {"metadata", "object"});
  expect_error([] { field_values("", "", "", {{"deep", {{"a", 1}}}}); }, {"metadata", "deep"});
}

TEST(Filter, Numbers) {
  EXPECT_EQ(as_number("2020"), 2020.0);
  EXPECT_EQ(as_number("-1.5e3"), -1500.0);
  for (const char* text : {"", "2020-01-01", "1 ", "nan", "inf", "x"}) EXPECT_FALSE(as_number(text)) << text;
}

}  // namespace
}  // namespace rotor::test
