#include "runtime/rag/sqlite/database.h"

#include <sqlite3.h>

#include "rotor/core/error.h"

namespace rotor::runtime::rag {
namespace {

constexpr int kBusyMs = 10000;  // others' writes are over by then

[[noreturn]] void fail_with(sqlite3* database, const std::string& path) {
  const int code = sqlite3_extended_errcode(database);
  std::string hint;
  switch (code & 0xFF) {
    case SQLITE_BUSY:
      hint = "; another program writes to it for long";
      break;
    case SQLITE_FULL:
      hint = "; nothing of what was in it is lost";
      break;
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
      hint = "; the file and its folder must be writable";
      break;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      hint = "; expected a knowledge base that rotor rag made";
      break;
    default:
      break;
  }
  fail(path, ": ", sqlite3_errmsg(database), hint);
}

void check(int code, sqlite3_stmt* statement) {
  if (code == SQLITE_OK) return;
  sqlite3* const database = sqlite3_db_handle(statement);
  fail_with(database, sqlite3_db_filename(database, "main"));
}

}  // namespace

void Statement::Finish::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

bool Statement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  fail_with(database_, sqlite3_db_filename(database_, "main"));
}

void Statement::run() {
  while (step()) {
  }
  reset();
}

void Statement::reset() {
  sqlite3_reset(statement_.get());
}

int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

double Statement::number(int column) const {
  return sqlite3_column_double(statement_.get(), column);
}

std::string_view Statement::text(int column) const {
  const auto* const text = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  return text == nullptr
             ? std::string_view()
             : std::string_view(text, static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column)));
}

std::span<const uint8_t> Statement::bytes(int column) const {
  const auto* const bytes = static_cast<const uint8_t*>(sqlite3_column_blob(statement_.get(), column));
  return {bytes, static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

bool Statement::is_null(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

void Statement::bind_one(int index, int64_t value) {
  check(sqlite3_bind_int64(statement_.get(), index, value), statement_.get());
}

void Statement::bind_one(int index, double value) {
  check(sqlite3_bind_double(statement_.get(), index, value), statement_.get());
}

void Statement::bind_one(int index, std::string_view value) {
  check(
      sqlite3_bind_text64(statement_.get(), index, value.data(), value.size(), SQLITE_TRANSIENT, SQLITE_UTF8),
      statement_.get());
}

void Statement::bind_one(int index, std::span<const uint8_t> value) {
  check(sqlite3_bind_blob64(statement_.get(), index, value.data(), value.size(), SQLITE_TRANSIENT),
        statement_.get());
}

void Statement::bind_one(int index, std::nullptr_t) {
  check(sqlite3_bind_null(statement_.get(), index), statement_.get());
}

void Database::Close::operator()(sqlite3* database) const {
  sqlite3_close_v2(database);
}

Database::Database(const std::string& path, Mode mode) : path_(path) {
  const int flags =
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX | (mode == Mode::create ? SQLITE_OPEN_CREATE : 0);
  sqlite3* database = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &database, flags, nullptr);
  database_.reset(database);
  if (database == nullptr) fail(path, ": out of memory");
  if (code != SQLITE_OK) fail_with(database, path);
  sqlite3_extended_result_codes(database, 1);
  sqlite3_busy_timeout(database, kBusyMs);
}

Statement Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(database_.get(), sql.data(), static_cast<int>(sql.size()), &statement, nullptr) !=
      SQLITE_OK)
    fail_with(database_.get(), path_);
  return {database_.get(), statement};
}

void Database::execute(const std::string& sql) {
  if (sqlite3_exec(database_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK)
    fail_with(database_.get(), path_);
}

int64_t Database::changes() const {
  return sqlite3_changes64(database_.get());
}

int64_t Database::last_id() const {
  return sqlite3_last_insert_rowid(database_.get());
}

Transaction::Transaction(Database& database, Kind kind) : database_(database) {
  // A write begins as one: what it reads first is then still so when it writes.
  database_.execute(kind == Kind::write ? "BEGIN IMMEDIATE" : "BEGIN");
}

Transaction::~Transaction() {
  if (!open_) return;
  try {
    database_.execute("ROLLBACK");
  } catch (const Error&) {
    // After some errors (a full disk) SQLite has rolled back by itself.
  }
}

void Transaction::commit() {
  database_.execute("COMMIT");
  open_ = false;
}

}  // namespace rotor::runtime::rag
