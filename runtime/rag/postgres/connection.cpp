#include "runtime/rag/postgres/connection.h"

#include <libpq-fe.h>

#include <array>
#include <charconv>
#include <cstring>
#include <vector>

namespace rotor::runtime::rag {
namespace {

/// On one line, without what libpq says of where it tried.
std::string first_line(const char* message) {
  std::string text = message == nullptr ? "" : message;
  if (const size_t fatal = text.find("FATAL:  "); fatal != std::string::npos) text.erase(0, fatal + 8);
  text = text.substr(0, text.find('\n'));
  return text.empty() ? "no answer" : text;
}

/// Of a refusal by a server that runs: whether it may be over soon.
bool is_passing(const std::string& refusal) {
  for (const char* sign :
       {"starting up", "shutting down", "recovery mode", "too many", "remaining connection"}) {
    if (refusal.find(sign) != std::string::npos) return true;
  }
  return false;
}

/// SQLSTATE: class 08 and the shutdowns of 57P.
bool is_loss(const char* state) {
  if (state == nullptr) return false;
  const std::string_view code = state;
  return code.starts_with("08") || code == "57P01" || code == "57P02" || code == "57P03";
}

/// SQLSTATE of an index entry or a tsvector that is too long.
constexpr std::string_view kProgramLimitExceeded = "54000";

template <class Number>
Number parsed(std::string_view text) {
  Number value{};
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

void PostgresResult::Clear::operator()(pg_result* result) const {
  PQclear(result);
}

int64_t PostgresResult::rows() const {
  return PQntuples(result_.get());
}

bool PostgresResult::is_null(int64_t row, int column) const {
  return PQgetisnull(result_.get(), static_cast<int>(row), column) != 0;
}

std::string_view PostgresResult::bytes(int64_t row, int column) const {
  const int at = static_cast<int>(row);
  return {PQgetvalue(result_.get(), at, column), static_cast<size_t>(PQgetlength(result_.get(), at, column))};
}

int64_t PostgresResult::integer(int64_t row, int column) const {
  return parsed<int64_t>(bytes(row, column));
}

double PostgresResult::number(int64_t row, int column) const {
  return parsed<double>(bytes(row, column));
}

void PostgresConnection::Finish::operator()(pg_conn* connection) const {
  PQfinish(connection);
}

PostgresConnection::PostgresConnection(const PostgresAddress& address) : address_(address) {
  // What the address says comes last, and so wins. A server that is gone without a word is noticed after a
  // while.
  constexpr std::array<const char*, 6> kNames = {"connect_timeout",  "tcp_user_timeout", "client_encoding",
                                                 "application_name", "dbname",           nullptr};
  const std::array<const char*, 6> values = {"5", "10000", "UTF8", "rotor", address_.server.c_str(), nullptr};
  connection_.reset(PQconnectdbParams(kNames.data(), values.data(), 1));
  if (PQstatus(connection_.get()) != CONNECTION_OK) {
    const std::string message = PQerrorMessage(connection_.get());
    const std::string reason = cat(address_.name, ": cannot connect: ", first_line(message.c_str()));
    const bool is_refused = message.find("FATAL:") != std::string::npos;
    if (is_refused && !is_passing(message)) fail(reason);
    throw LostConnection(reason);
  }
  PQsetNoticeProcessor(
      connection_.get(), [](void*, const char*) {}, nullptr);
  // pgvector's types may be in any schema. Compiling a search takes longer than the search.
  Query settings("SELECT set_config('jit', 'off', false), set_config('search_path', concat_ws(', ', ");
  settings << settings.bind(quoted_name(address_.base))
           << "::text, (SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = "
              "e.extnamespace WHERE e.extname = 'vector')), false), current_setting('server_encoding')";
  const PostgresResult set = run(settings);
  if (const std::string encoding(set.bytes(0, 2)); encoding != "UTF8")
    fail(address_.name, ": expected a database in UTF8, found ", encoding);
}

PostgresResult PostgresConnection::run(const Query& query, Format format) {
  std::vector<const char*> values;
  for (const std::string& value : query.values()) values.push_back(value.c_str());
  PostgresResult result;
  result.result_.reset(PQexecParams(connection_.get(), query.sql().c_str(), static_cast<int>(values.size()),
                                    nullptr, values.data(), nullptr, nullptr,
                                    format == Format::binary ? 1 : 0));
  check(result);
  return result;
}

void PostgresConnection::run_all(const std::string& sql) {
  PostgresResult result;
  result.result_.reset(PQexec(connection_.get(), sql.c_str()));
  check(result);
}

void PostgresConnection::check(const PostgresResult& result) const {
  const pg_result* const its = result.result_.get();
  const ExecStatusType status = PQresultStatus(its);
  if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK) return;
  const char* const primary = PQresultErrorField(its, PG_DIAG_MESSAGE_PRIMARY);
  const std::string reason = primary == nullptr ? first_line(PQerrorMessage(connection_.get())) : primary;
  const char* const state = PQresultErrorField(its, PG_DIAG_SQLSTATE);
  if (is_lost() || is_loss(state))
    throw LostConnection(cat(address_.name, ": the connection was lost: ", reason));
  if (state != nullptr && state == kProgramLimitExceeded) throw TooLarge(cat(address_.name, ": ", reason));
  fail(address_.name, ": ", reason);
}

bool PostgresConnection::is_lost() const {
  return PQstatus(connection_.get()) != CONNECTION_OK;
}

PostgresTransaction::PostgresTransaction(PostgresConnection& connection, Kind kind)
    : connection_(connection) {
  if (kind == Kind::write) {
    connection_.run("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
  } else {
    connection_.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  }
}

PostgresTransaction::~PostgresTransaction() {
  if (!open_ || connection_.is_lost()) return;
  try {
    connection_.run("ROLLBACK");
  } catch (const Error&) {
    // The server rolls back what it lost.
  }
}

void PostgresTransaction::commit() {
  open_ = false;
  connection_.run("COMMIT");
}

}  // namespace rotor::runtime::rag
