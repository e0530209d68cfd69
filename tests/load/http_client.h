// A client that can misbehave: plain HTTP/1.1 over a socket, with the socket in the caller's hands, so that
// it can hang up, read slowly or send rubbish. For load tests; a well-behaved client is a library's job.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

namespace rotor::load {

struct Address {
  std::string host = "127.0.0.1";
  int port = 8080;
};

struct Answer {
  int status = 0;  ///< 0: the server hung up before it answered
  std::string body;
};

class Connection {
 public:
  /// Throws std::runtime_error if nobody listens there.
  explicit Connection(const Address& address);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int fd() const { return fd_; }
  /// False: the server hung up.
  bool send(std::string_view bytes);
  /// Reads an answer; `on_body` gets its body bit by bit, and ends the reading with false.
  Answer receive(const std::function<bool(std::string_view part)>& on_body = {});

 private:
  /// More bytes into buffer_; false at the end.
  bool fill();
  bool read_chunks(Answer& answer, const std::function<bool(std::string_view)>& on_body);

  int fd_ = -1;
  std::string buffer_;
};

/// A POST of JSON with all its headers.
std::string post(const std::string& path, const std::string& body);

}  // namespace rotor::load
