// A base on a PostgreSQL server, for several machines: a schema of its own, words in PostgreSQL's full-text
// search, vectors in pgvector, both searched exactly. The same results as SQLite's but for ties.
//
// Who loses the connection tries again, after ever longer breaks, until his patience ends. A change whose
// commit got no answer is asked for by the number of its transaction, and so is made once.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "runtime/rag/store.h"

namespace rotor::runtime::rag {

struct PostgresOptions {
  /// Told what a user should know: that the connection was lost, and is there again.
  std::function<void(const std::string& message)> say = {};
  std::chrono::milliseconds patience{3000};
};

/// `address`: as in address.h. Throws Error naming it, without user and password.
bool has_postgres_store(const std::string& address, const PostgresOptions& options = {});

/// Makes a new base; its database must be there. Throws Error if there is one of that name, or no pgvector.
void create_postgres_store(const std::string& address, const BaseConfig& config,
                           const PostgresOptions& options = {});

/// Throws Error if it is not there, or of a newer version.
std::unique_ptr<Store> open_postgres_store(const std::string& address, const PostgresOptions& options = {});

}  // namespace rotor::runtime::rag
