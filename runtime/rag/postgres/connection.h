// A connection to a PostgreSQL server: libpq with errors as exceptions.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "rotor/core/error.h"
#include "runtime/rag/postgres/address.h"
#include "runtime/rag/postgres/sql_text.h"
#include "runtime/rag/words.h"

struct pg_conn;
struct pg_result;

namespace rotor::runtime::rag {

/// The server cannot be reached, or is there no more: another try may do.
class LostConnection : public Error {
 public:
  using Error::Error;
};

/// A value is larger than the server takes; smaller ones it takes.
class TooLarge : public Error {
 public:
  using Error::Error;
};

class PostgresResult {
 public:
  int64_t rows() const;
  bool is_null(int64_t row, int column) const;
  /// As the server sent it; valid as long as this is.
  std::string_view bytes(int64_t row, int column) const;
  /// What to_utf8() made.
  std::string text(int64_t row, int column) const { return from_utf8(bytes(row, column)); }
  int64_t integer(int64_t row, int column) const;
  double number(int64_t row, int column) const;

 private:
  friend class PostgresConnection;
  struct Clear {
    void operator()(pg_result* result) const;
  };
  std::unique_ptr<pg_result, Clear> result_;
};

/// Used by one thread at a time.
class PostgresConnection {
 public:
  enum class Format { text, binary };

  /// Throws LostConnection if there may be an answer later, else Error: a wrong password, no such database.
  explicit PostgresConnection(const PostgresAddress& address);

  /// Throws LostConnection, or TooLarge or another Error with what the server says.
  PostgresResult run(const Query& query, Format format = Format::text);
  PostgresResult run(const std::string& sql) { return run(Query(sql)); }
  /// Statements without values, separated by semicolons.
  void run_all(const std::string& sql);
  bool is_lost() const;

  const PostgresAddress& address() const { return address_; }
  const WordCutter& words() const { return words_; }

 private:
  struct Finish {
    void operator()(pg_conn* connection) const;
  };
  /// Throws unless it is what was asked for.
  void check(const PostgresResult& result) const;

  PostgresAddress address_;
  WordCutter words_;
  std::unique_ptr<pg_conn, Finish> connection_;
};

/// Rolled back unless commit() was called.
class PostgresTransaction {
 public:
  enum class Kind {
    snapshot,  ///< one state, read alone
    write
  };
  PostgresTransaction(PostgresConnection& connection, Kind kind);
  ~PostgresTransaction();
  PostgresTransaction(const PostgresTransaction&) = delete;
  PostgresTransaction& operator=(const PostgresTransaction&) = delete;
  void commit();

 private:
  PostgresConnection& connection_;
  bool open_ = true;
};

}  // namespace rotor::runtime::rag
