// The tests' bases are on a server.
#include <gtest/gtest.h>

#include "runtime/rag/postgres/connection.h"
#include "runtime/rag/postgres/postgres_store.h"
#include "tests/rag/postgres/postgres_server.h"
#include "tests/rag/rag_fixture.h"

namespace rotor::test {

std::string base_name(const TempDir&) {
  return PostgresServer::instance().new_address();
}

void create_base(const std::string& name, const rag::BaseConfig& config) {
  rag::create_postgres_store(name, config);
}

std::shared_ptr<rag::Store> open_base(const std::string& name,
                                      const std::function<void(const std::string&)>& say) {
  return rag::open_postgres_store(name, {.say = say});
}

void expect_sound(const std::string& name) {
  rag::PostgresConnection connection(rag::parse_postgres_address(name));
  const auto sums = connection.run(
      "SELECT (SELECT sum(chunks) FROM totals), (SELECT count(*) FROM words), (SELECT count(*) FROM chunks), "
      "(SELECT count(*) FROM vectors), (SELECT sum(words) FROM totals), (SELECT sum(length) FROM words)");
  for (const int column : {0, 1, 3}) EXPECT_EQ(sums.integer(0, column), sums.integer(0, 2)) << column;
  EXPECT_EQ(sums.integer(0, 4), sums.integer(0, 5));
}

}  // namespace rotor::test
