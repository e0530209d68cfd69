// A PostgreSQL server of the tests' own: started once by a test program, and gone with it.
#pragma once

#include <sys/types.h>

#include <string>

#include "tests/support/temp_dir.h"

namespace rotor::test {

class PostgresServer {
 public:
  /// That of this process. Fails without an installation: ROTOR_POSTGRES_DIR, else what
  /// scripts/get_postgres.sh fetched.
  static PostgresServer& instance();

  int port() const { return port_; }
  /// "postgresql://127.0.0.1:PORT/postgres#BASE"
  std::string address(const std::string& base) const;
  /// A base of a new name.
  std::string new_address();

  /// As if its machine had lost power.
  void stop();
  void start();

 private:
  PostgresServer();
  ~PostgresServer();
  void make_cluster();
  [[noreturn]] void become(const std::string& program, const std::string& arguments) const;

  TempDir dir_;
  std::string install_;
  int port_ = 0;
  pid_t process_ = 0;
  int bases_ = 0;
};

}  // namespace rotor::test
