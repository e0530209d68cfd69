#include "runtime/rag/sqlite/connection.h"

#include "rotor/core/error.h"

namespace rotor::runtime::rag {
namespace {

using Relation = Condition::Relation;

bool is_order(Relation relation) {
  return relation == Relation::less || relation == Relation::at_most || relation == Relation::greater ||
         relation == Relation::at_least;
}

const char* sql_sign(Relation relation) {
  switch (relation) {
    case Relation::less:
      return "<";
    case Relation::at_most:
      return "<=";
    case Relation::greater:
      return ">";
    case Relation::at_least:
      return ">=";
    default:
      return "=";
  }
}

}  // namespace

Connection::Connection(const std::string& path, Database::Mode mode) : database_(path, mode) {
  // Committed in the write-ahead log is there after the process dies; after a power cut the last changes may
  // be missing, but none is torn.
  database_.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=OFF");
  database_.execute("PRAGMA mmap_size=1073741824; PRAGMA cache_size=-16384");
}

Statement& Connection::statement(const std::string& sql) {
  auto at = statements_.find(sql);
  if (at == statements_.end()) at = statements_.emplace(sql, database_.prepare(sql)).first;
  at->second.reset();
  return at->second;
}

int64_t Connection::base_number(const std::string& name) {
  Statement& read = statement("SELECT value FROM base WHERE name = ?").bind(name);
  if (!read.step()) fail(database_.path(), ": expected a value ", name, " in its table base, found none");
  const int64_t value = read.integer(0);
  read.reset();
  return value;
}

std::string Connection::base_text(const std::string& name) {
  Statement& read = statement("SELECT value FROM base WHERE name = ?").bind(name);
  if (!read.step()) fail(database_.path(), ": expected a value ", name, " in its table base, found none");
  const std::string value(read.text(0));
  read.reset();
  return value;
}

int64_t Connection::document_number(const std::string& id) {
  Statement& read = statement("SELECT number FROM documents WHERE id = ?").bind(id);
  const int64_t number = read.step() ? read.integer(0) : 0;
  read.reset();
  return number;
}

std::string filter_sql(const Filter& filter) {
  std::string sql;
  for (const Condition& condition : filter) {
    const Relation relation = condition.relation;
    sql += relation == Relation::not_equal ? " AND d.number NOT IN " : " AND d.number IN ";
    sql += "(SELECT document FROM fields WHERE field = ? AND ";
    if (relation == Relation::begins_with) {
      sql += "substr(text, 1, length(?)) = ?)";
    } else if (is_order(relation) && as_number(condition.value)) {
      sql += std::string("number ") + sql_sign(relation) + " ?)";
    } else {
      sql += std::string("text ") + sql_sign(relation) + " ?)";
    }
  }
  return sql;
}

int bind_filter(Statement& statement, int index, const Filter& filter) {
  for (const Condition& condition : filter) {
    statement.bind_one(index++, condition.field);
    if (condition.relation == Relation::begins_with) statement.bind_one(index++, condition.value);
    const auto number = is_order(condition.relation) ? as_number(condition.value) : std::nullopt;
    if (number) {
      statement.bind_one(index++, *number);
    } else {
      statement.bind_one(index++, condition.value);
    }
  }
  return index;
}

}  // namespace rotor::runtime::rag
