// SQLite's C interface with errors as exceptions. What is kept in it is sqlite_store.cpp's business.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

struct sqlite3;
struct sqlite3_stmt;

namespace rotor::runtime::rag {

/// A prepared statement; reset when it is run anew.
class Statement {
 public:
  /// Begins anew with these in place of the question marks: integers, doubles, texts, bytes.
  template <class... Values>
  Statement& bind(const Values&... values) {
    reset();
    int index = 0;
    (bind_one(++index, values), ...);
    return *this;
  }
  /// The next row; false behind the last. Throws Error naming the file.
  bool step();
  /// All steps of a statement that gives no rows.
  void run();

  int64_t integer(int column) const;
  double number(int column) const;
  /// Valid until the next step.
  std::string_view text(int column) const;
  std::span<const uint8_t> bytes(int column) const;
  bool is_null(int column) const;

  void bind_one(int index, int64_t value);
  void bind_one(int index, double value);
  void bind_one(int index, std::string_view value);
  void bind_one(int index, std::span<const uint8_t> value);
  void bind_one(int index, std::nullptr_t);
  void reset();

 private:
  friend class Database;
  struct Finish {
    void operator()(sqlite3_stmt* statement) const;
  };
  Statement(sqlite3* database, sqlite3_stmt* statement) : database_(database), statement_(statement) {}

  sqlite3* database_;
  std::unique_ptr<sqlite3_stmt, Finish> statement_;
};

class Database {
 public:
  enum class Mode { read_write, create };
  /// Throws Error naming the file and what is wrong: no database, damaged, no right to write.
  Database(const std::string& path, Mode mode);

  const std::string& path() const { return path_; }
  /// For what has no name here.
  sqlite3* handle() const { return database_.get(); }
  /// Throws Error.
  Statement prepare(std::string_view sql);
  /// Statements without values, separated by semicolons.
  void execute(const std::string& sql);
  /// Rows that the last statement changed.
  int64_t changes() const;
  int64_t last_id() const;

 private:
  struct Close {
    void operator()(sqlite3* database) const;
  };
  std::string path_;
  std::unique_ptr<sqlite3, Close> database_;
};

/// Rolled back unless commit() was called.
class Transaction {
 public:
  enum class Kind { read, write };
  Transaction(Database& database, Kind kind);
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Database& database_;
  bool open_ = true;
};

}  // namespace rotor::runtime::rag
