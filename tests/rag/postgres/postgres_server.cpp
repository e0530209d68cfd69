#include "tests/rag/postgres/postgres_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>
#include <vector>

#include "rotor/core/error.h"

namespace rotor::test {
namespace {

namespace fs = std::filesystem;

constexpr uid_t kNobody = 65534;  // PostgreSQL does not run as root

int free_port() {
  const int socket_fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (bind(socket_fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(socket_fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    fail("no free port");
  close(socket_fd);
  return ntohs(address.sin_port);
}

std::string installation() {
  const char* given = std::getenv("ROTOR_POSTGRES_DIR");
  const std::string folder = given == nullptr ? ROTOR_POSTGRES_DIR : given;
  if (!fs::exists(folder + "/bin/postgres"))
    fail(folder,
         ": expected an installation of PostgreSQL with pgvector, bin/postgres and the like; "
         "scripts/get_postgres.sh fetches one, ROTOR_POSTGRES_DIR names another");
  return folder;
}

}  // namespace

PostgresServer& PostgresServer::instance() {
  static PostgresServer server;
  return server;
}

PostgresServer::PostgresServer() : install_(installation()) {
  setenv("PGUSER", "rotor", 1);
  if (geteuid() == 0) {
    // Where its user can read it.
    fs::permissions(dir_.path(), fs::perms(0755));
    fs::copy(install_, dir_.file("postgres"), fs::copy_options::recursive | fs::copy_options::copy_symlinks);
    install_ = dir_.file("postgres");
  }
  fs::create_directory(dir_.file("data"));
  if (geteuid() == 0 && chown(dir_.file("data").c_str(), kNobody, kNobody) != 0) fail("chown");
  make_cluster();
  port_ = free_port();
  start();
}

PostgresServer::~PostgresServer() {
  stop();
}

std::string PostgresServer::address(const std::string& base) const {
  return cat("postgresql://127.0.0.1:", port_, "/postgres#", base);
}

std::string PostgresServer::new_address() {
  return address(cat("base", getpid(), "_", ++bases_));
}

void PostgresServer::become(const std::string& program, const std::string& arguments) const {
  const int log = open(dir_.file("log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  if (geteuid() == 0 && (setgroups(0, nullptr) != 0 || setgid(kNobody) != 0 || setuid(kNobody) != 0))
    _exit(126);
  setenv("LD_LIBRARY_PATH", (install_ + "/lib").c_str(), 1);
  prctl(PR_SET_PDEATHSIG, SIGQUIT);
  const std::string command = cat("exec '", install_, "/bin/", program, "' ", arguments);
  execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
  _exit(127);
}

void PostgresServer::make_cluster() {
  const pid_t child = fork();
  if (child == 0)
    become("initdb", cat("-D '", dir_.file("data"), "' -U rotor -A trust -E UTF8 --locale=C --no-sync"));
  int status = 0;
  waitpid(child, &status, 0);
  if (status != 0) fail("initdb: ", read_bytes(dir_.file("log")));
}

void PostgresServer::start() {
  process_ = fork();
  if (process_ == 0) {
    become("postgres", cat("-D '", dir_.file("data"), "' -p ", port_,
                           " -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
                           " -c full_page_writes=off -c max_connections=60"));
  }
  const std::string server = cat("host=127.0.0.1 dbname=postgres port=", port_);
  for (int i = 0; i < 600; ++i) {
    if (PQping(server.c_str()) == PQPING_OK) return;
    if (waitpid(process_, nullptr, WNOHANG) != 0) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  fail("postgres did not start: ", read_bytes(dir_.file("log")));
}

void PostgresServer::stop() {
  if (process_ <= 0) return;
  kill(process_, SIGQUIT);
  waitpid(process_, nullptr, 0);
  process_ = 0;
}

}  // namespace rotor::test
