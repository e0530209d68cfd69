// Binding and listening.
#include "runtime/server/http/listeners.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "rotor/core/error.h"

namespace rotor::runtime::server {
namespace {

constexpr int kBacklog = 512;
constexpr std::string_view kUnixScheme = "unix:";

int port_of(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
  if (address.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6&>(address).sin6_port);
  return 0;
}

void set_port(sockaddr_storage& address, int port) {
  const auto number = htons(static_cast<uint16_t>(port));
  if (address.ss_family == AF_INET) reinterpret_cast<sockaddr_in&>(address).sin_port = number;
  if (address.ss_family == AF_INET6) reinterpret_cast<sockaddr_in6&>(address).sin6_port = number;
}

bool is_loopback(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    return ntohl(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr) >> 24 == 127;
  }
  return IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6&>(address).sin6_addr);
}

/// Whether somebody listens there, or may; false only for a file that a dead server left.
bool unix_socket_in_use(const sockaddr_un& address) {
  const int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const bool refused =
      connect(socket_fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 &&
      errno == ECONNREFUSED;
  close(socket_fd);
  return !refused;
}

}  // namespace

Listeners::Listeners(const std::string& host, int port) : port_(port) {
  if (host.starts_with(kUnixScheme)) {
    listen_at_path(host.substr(kUnixScheme.size()));
    return;
  }
  const std::string name = cat(host, ", port ", port);
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host == "*" ? nullptr : host.c_str(), "0", &hints, &found);
  if (error != 0) fail("cannot listen at ", name, ": ", gai_strerror(error));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> addresses(found, freeaddrinfo);
  try {
    std::string problem;
    for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
      // A machine without IPv6 resolves names to it all the same.
      try {
        listen_at_address(*address, name);
      } catch (const Error& e) {
        problem = e.what();
        if (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL) throw;
      }
    }
    if (sockets_.empty()) fail(problem);
  } catch (...) {
    close_all();
    throw;
  }
}

Listeners::~Listeners() {
  close_all();
}

void Listeners::close_all() {
  for (const int socket_fd : sockets_) close(socket_fd);
  if (!sockets_.empty() && !unix_path_.empty()) unlink(unix_path_.c_str());
  sockets_.clear();
}

void Listeners::listen_at_address(const addrinfo& address, const std::string& name) {
  const int socket_fd = socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket_fd < 0) fail("cannot listen at ", name, ": ", std::strerror(errno));
  const int on = 1;
  setsockopt(socket_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (address.ai_family == AF_INET6) setsockopt(socket_fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
  sockaddr_storage storage = {};
  std::memcpy(&storage, address.ai_addr, address.ai_addrlen);
  set_port(storage, port_);
  auto* const generic = reinterpret_cast<sockaddr*>(&storage);
  if (bind(socket_fd, generic, address.ai_addrlen) != 0 || listen(socket_fd, kBacklog) != 0) {
    const int error = errno;
    close(socket_fd);
    errno = error;
    fail("cannot listen at ", name, ": ", std::strerror(error));
  }
  socklen_t size = sizeof(storage);
  getsockname(socket_fd, generic, &size);
  port_ = port_of(storage);
  loopback_ = loopback_ && is_loopback(storage);
  sockets_.push_back(socket_fd);
}

void Listeners::listen_at_path(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    fail("cannot listen at unix:", path, ": expected a path of 1 to ", sizeof(address.sun_path) - 1,
         " bytes");
  }
  path.copy(address.sun_path, path.size());
  port_ = 0;
  const int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const auto* const generic = reinterpret_cast<const sockaddr*>(&address);
  bool bound = bind(socket_fd, generic, sizeof(address)) == 0;
  if (!bound && errno == EADDRINUSE && !unix_socket_in_use(address)) {
    unlink(path.c_str());
    bound = bind(socket_fd, generic, sizeof(address)) == 0;
  }
  if (!bound || listen(socket_fd, kBacklog) != 0) {
    const int error = errno;
    close(socket_fd);
    fail("cannot listen at unix:", path, ": ", std::strerror(error));
  }
  unix_path_ = path;
  sockets_.push_back(socket_fd);
}

std::string remote_address(int socket_fd) {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  char name[NI_MAXHOST] = {};
  if (getpeername(socket_fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return "unknown";
  if (address.ss_family == AF_UNIX) return "unix";
  getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, name, sizeof(name), nullptr, 0,
              NI_NUMERICHOST);
  return name;
}

}  // namespace rotor::runtime::server
