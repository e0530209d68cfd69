// Where a base on a PostgreSQL server is: postgresql://USER@HOST:PORT/DATABASE#BASE.
#pragma once

#include <string>
#include <string_view>

namespace rotor::runtime::rag {

/// Whether a base's name says that it is on a server.
inline bool is_postgres_address(std::string_view name) {
  return name.starts_with("postgresql://") || name.starts_with("postgres://");
}

struct PostgresAddress {
  std::string server;  ///< libpq's connection URI, with the password if it has one
  std::string base;    ///< the schema that holds it
  std::string name;    ///< for messages: without user and password
};

/// All that libpq's URIs take, and #BASE behind it ("rotor" without it). Throws Error.
PostgresAddress parse_postgres_address(const std::string& name);

}  // namespace rotor::runtime::rag
