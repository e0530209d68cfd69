// The tests' bases are SQLite files.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include "runtime/rag/sqlite/sqlite_store.h"
#include "tests/rag/rag_fixture.h"

namespace rotor::test {

std::string base_name(const TempDir& dir) {
  return dir.file("base.db");
}

void create_base(const std::string& name, const rag::BaseConfig& config) {
  rag::create_sqlite_store(name, config);
}

std::shared_ptr<rag::Store> open_base(const std::string& name,
                                      const std::function<void(const std::string&)>& say) {
  return rag::open_sqlite_store(name, {.say = say});
}

void expect_sound(const std::string& name) {
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(name.c_str(), &database), SQLITE_OK);
  std::string verdict;
  const auto take = [](void* to, int, char** values, char**) {
    *static_cast<std::string*>(to) += values[0];
    return 0;
  };
  EXPECT_EQ(
      sqlite3_exec(database, "PRAGMA integrity_check; INSERT INTO words(words) VALUES('integrity-check')",
                   take, &verdict, nullptr),
      SQLITE_OK)
      << sqlite3_errmsg(database);
  EXPECT_EQ(verdict, "ok");
  sqlite3_close(database);
}

}  // namespace rotor::test
