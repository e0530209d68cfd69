#include "runtime/rag/postgres/address.h"

#include <libpq-fe.h>

#include <map>
#include <memory>

#include "rotor/core/error.h"

namespace rotor::runtime::rag {
namespace {

constexpr const char* kUsualBase = "rotor";
constexpr size_t kLongestBase = 63;  // bytes that PostgreSQL keeps of a name

std::map<std::string, std::string> parts_of(const std::string& uri, const std::string& shown) {
  char* reason = nullptr;
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
      PQconninfoParse(uri.c_str(), &reason), PQconninfoFree);
  const std::unique_ptr<char, decltype(&PQfreemem)> owned(reason, PQfreemem);
  if (options == nullptr)
    fail(shown, ": expected postgresql://USER@HOST:PORT/DATABASE#BASE: ", reason == nullptr ? "" : reason);
  std::map<std::string, std::string> parts;
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr) parts[option->keyword] = option->val;
  }
  return parts;
}

}  // namespace

PostgresAddress parse_postgres_address(const std::string& name) {
  PostgresAddress address;
  const size_t mark = name.find('#');
  address.server = name.substr(0, mark);
  address.base = mark == std::string::npos ? kUsualBase : name.substr(mark + 1);
  // What libpq says of a URI it cannot read may repeat all of it, with the password.
  auto parts = parts_of(address.server, "the address of a PostgreSQL server");
  const std::string& host = parts["host"];
  const bool is_socket = host.starts_with('/');
  address.name = cat("postgresql://", is_socket ? "" : host, parts["port"].empty() || is_socket ? "" : ":",
                     is_socket ? "" : parts["port"], "/", parts["dbname"], is_socket ? "?host=" + host : "",
                     "#", address.base);
  if (address.base.empty() || address.base.size() > kLongestBase || address.base.starts_with("pg_") ||
      address.base.find('\0') != std::string::npos) {
    fail(address.name, ": expected behind # the name of a base, 1 to ", kLongestBase,
         " bytes that do not begin with pg_, found \"", address.base, "\"");
  }
  return address;
}

}  // namespace rotor::runtime::rag
