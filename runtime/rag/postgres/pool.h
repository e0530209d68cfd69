// Connections to one server, with tries again when it does not answer.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "runtime/rag/connection_pool.h"
#include "runtime/rag/postgres/connection.h"
#include "runtime/rag/postgres/postgres_store.h"

namespace rotor::runtime::rag {

/// Used by several threads at once.
class PostgresPool {
 public:
  PostgresPool(const std::string& address, const PostgresOptions& options)
      : address_(parse_postgres_address(address)), options_(options) {}

  const PostgresAddress& address() const { return address_; }

  void give_back(std::unique_ptr<PostgresConnection> connection) { kept_.give_back(std::move(connection)); }

  /// What `work(connection)` returns; it is called again, with another connection, if it throws
  /// LostConnection. The connection is the work's to keep or give back. Throws Error when patience ends.
  auto with_connection(const auto& work) {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point end = Clock::now() + options_.patience;
    std::chrono::milliseconds wait{50};
    for (int tries = 1;; ++tries) {
      try {
        auto result = work(kept_.take(address_));
        if (tries > 1 && options_.say) options_.say(address_.name + ": connected again");
        return result;
      } catch (const LostConnection& error) {
        kept_.clear();  // if one is gone, the others are, too
        if (Clock::now() + wait > end) fail(error.what(), "; tried ", tries, " times");
        if (tries == 1 && options_.say) options_.say(cat(error.what(), "; trying again"));
      }
      std::this_thread::sleep_for(wait);
      wait *= 2;
    }
  }
  /// The same for work that only uses the connection.
  auto use_connection(const auto& work) {
    return with_connection([&](std::unique_ptr<PostgresConnection> connection) {
      auto result = work(*connection);
      give_back(std::move(connection));
      return result;
    });
  }

 private:
  const PostgresAddress address_;
  const PostgresOptions options_;
  ConnectionPool<PostgresConnection> kept_;
};

}  // namespace rotor::runtime::rag
