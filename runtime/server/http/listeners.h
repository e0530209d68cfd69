// Sockets that wait for connections: a host's addresses of IPv4 and IPv6, or a unix socket.
#pragma once

#include <string>
#include <vector>

struct addrinfo;  // <netdb.h>

namespace rotor::runtime::server {

class Listeners {
 public:
  /// `host`: a name, an address, "*" for all addresses, or "unix:PATH". `port` 0: a free one, the same for
  /// all addresses. Throws Error naming host, port and reason.
  Listeners(const std::string& host, int port);
  ~Listeners();
  Listeners(const Listeners&) = delete;
  Listeners& operator=(const Listeners&) = delete;

  const std::vector<int>& sockets() const { return sockets_; }
  /// 0 for a unix socket.
  int port() const { return port_; }
  /// Whether only this machine can connect.
  bool loopback() const { return loopback_; }
  /// No new connections from now on.
  void close_all();

 private:
  void listen_at_path(const std::string& path);
  void listen_at_address(const addrinfo& address, const std::string& name);

  std::vector<int> sockets_;
  int port_ = 0;
  bool loopback_ = true;
  std::string unix_path_;
};

/// "192.0.2.1", "2001:db8::1" or "unix" for who is at the other end.
std::string remote_address(int socket);

}  // namespace rotor::runtime::server
