// One connection to a base, with the statements that it runs again and again. Used by one thread at a time.
#pragma once

#include <map>
#include <string>

#include "runtime/rag/filter.h"
#include "runtime/rag/sqlite/database.h"

namespace rotor::runtime::rag {

class Connection {
 public:
  explicit Connection(const std::string& path, Database::Mode mode = Database::Mode::read_write);

  Database& database() { return database_; }
  /// Prepared once.
  Statement& statement(const std::string& sql);

  /// What the table `base` says; throws Error if it says nothing of that.
  int64_t base_number(const std::string& name);
  std::string base_text(const std::string& name);
  /// A document's number by its id; 0 if it is not there.
  int64_t document_number(const std::string& id);

 private:
  Database database_;
  std::map<std::string, Statement> statements_;
};

/// What a filter adds to the conditions of a statement in which `documents` is called d: " AND d.number IN
/// (...)" for each of its own; "" for none.
std::string filter_sql(const Filter& filter);
/// Binds the filter's values to the question marks from `index` on; returns the index behind them.
int bind_filter(Statement& statement, int index, const Filter& filter);

}  // namespace rotor::runtime::rag
