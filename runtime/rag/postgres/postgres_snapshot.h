// One state of a PostgreSQL base, read in one transaction.
#pragma once

#include <functional>
#include <memory>

#include "runtime/rag/postgres/connection.h"
#include "runtime/rag/store.h"

namespace rotor::runtime::rag {

/// Begins the transaction; throws LostConnection. `give_back` gets the connection in the end, out of it.
std::unique_ptr<Snapshot> postgres_snapshot(
    std::unique_ptr<PostgresConnection> connection, const BaseConfig& config,
    std::function<void(std::unique_ptr<PostgresConnection>)> give_back);

}  // namespace rotor::runtime::rag
