#include "runtime/rag/postgres/sql_text.h"

#include <gtest/gtest.h>

#include "runtime/rag/postgres/address.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime::rag {
namespace {

TEST(SqlTextTest, AnyBytesTravel) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  for (const std::string& bytes : {all, std::string("plain"), std::string("\xE4\xB8\xAD \xF0\x9F\x90\x9D"),
                                   std::string("\xED\xA0\x80 surrogate"), std::string("\xC0\x80 overlong"),
                                   std::string("cut \xE4\xB8"), std::string()}) {
    const std::string text = to_utf8(bytes);
    EXPECT_EQ(from_utf8(text), bytes);
    EXPECT_EQ(text.find('\0'), std::string::npos);
    EXPECT_EQ(to_utf8(text), text) << "is UTF-8 itself";
  }
  EXPECT_EQ(to_utf8("gr\xC3\xBC\xC3\x9F"), "gr\xC3\xBC\xC3\x9F");
}

TEST(SqlTextTest, Arrays) {
  const std::vector<std::optional<std::string>> values = {"a", std::nullopt, R"(x"y\z)", "", "NULL"};
  EXPECT_EQ(array_text(values), R"({"a",NULL,"x\"y\\z","","NULL"})");
  EXPECT_EQ(array_text(std::vector<int64_t>{}), "{}");
  EXPECT_EQ(array_text(std::vector<int64_t>{-1, 7}), "{-1,7}");
  EXPECT_EQ(vector_text(std::vector<float>{0.1F, -2.0F, 1e-20F}), "[0.1,-2,1e-20]");
}

TEST(SqlTextTest, Words) {
  EXPECT_EQ(tsvector_text(std::vector<std::string>{"b", "a", "b"}), "'a':2 'b':1,3 ");
  EXPECT_EQ(tsquery_text(R"(it's \o/)"), R"('it''s \\o/')");
  const std::string longest(600, 'x');
  EXPECT_EQ(tsquery_text(longest), "'" + std::string(500, 'x') + "'");
  std::string wide;
  for (int i = 0; i < 300; ++i) wide += "\xC3\xBC";
  EXPECT_EQ(tsquery_text("a" + wide).size(), 2U + 499U) << "no half of a character";
}

TEST(PostgresAddressTest, Parts) {
  const PostgresAddress address =
      parse_postgres_address("postgresql://ada:secret@db.example:6543/facts?sslmode=require#notes");
  EXPECT_EQ(address.base, "notes");
  EXPECT_EQ(address.server, "postgresql://ada:secret@db.example:6543/facts?sslmode=require");
  EXPECT_EQ(address.name, "postgresql://db.example:6543/facts#notes");
  EXPECT_EQ(parse_postgres_address("postgres://db/facts").base, "rotor");
  EXPECT_EQ(parse_postgres_address("postgresql:///facts?host=/run/sock#n").name,
            "postgresql:///facts?host=/run/sock#n");
  EXPECT_TRUE(is_postgres_address("postgres://x"));
  EXPECT_FALSE(is_postgres_address("notes.db"));
}

TEST(PostgresAddressTest, WhatIsNone) {
  test::expect_error([] { parse_postgres_address("postgresql://db/facts#"); },
                     {"postgresql://db/facts#", "1 to 63"});
  test::expect_error([] { parse_postgres_address("postgresql://db/facts#pg_x"); }, {"pg_x"});
  test::expect_error([] { parse_postgres_address("postgresql://db/facts#" + std::string(64, 'x')); }, {"63"});
  try {
    parse_postgres_address("postgresql://ada:secret@db:port:x/facts?nothing=1");
    FAIL() << "that is no address";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find("secret"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace rotor::runtime::rag
