#include "tests/load/http_client.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace rotor::load {
namespace {

/// A header's value, in lower case; "" if it is not there. `head` is in lower case.
std::string header(const std::string& head, const std::string& name) {
  const size_t at = head.find("\r\n" + name + ":");
  if (at == std::string::npos) return "";
  const size_t begin = head.find_first_not_of(' ', at + name.size() + 3);
  return head.substr(begin, head.find("\r\n", begin) - begin);
}

}  // namespace

Connection::Connection(const Address& address) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(address.port));
  inet_pton(AF_INET, address.host.c_str(), &to.sin_addr);
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
    const int error = errno;
    close(fd_);
    throw std::runtime_error(address.host + ":" + std::to_string(address.port) + ": " + std::strerror(error));
  }
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

Connection::~Connection() {
  close(fd_);
}

bool Connection::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

bool Connection::fill() {
  char bytes[16384];
  const ssize_t got = recv(fd_, bytes, sizeof bytes, 0);
  if (got <= 0) return false;
  buffer_.append(bytes, static_cast<size_t>(got));
  return true;
}

Answer Connection::receive(const std::function<bool(std::string_view)>& on_body) {
  Answer answer;
  size_t end = 0;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (!fill()) return answer;
  }
  std::string head = buffer_.substr(0, end + 2);
  buffer_.erase(0, end + 4);
  std::ranges::transform(head, head.begin(), [](unsigned char c) { return std::tolower(c); });
  answer.status = std::stoi(head.substr(head.find(' ') + 1));
  if (answer.status == 100) return receive(on_body);
  if (header(head, "transfer-encoding") == "chunked") {
    read_chunks(answer, on_body);
    return answer;
  }
  const std::string length = header(head, "content-length");
  const size_t size = length.empty() ? 0 : std::stoull(length);
  while (buffer_.size() < size && fill()) {
  }
  answer.body = buffer_.substr(0, size);
  buffer_.erase(0, size);
  if (on_body) on_body(answer.body);
  return answer;
}

bool Connection::read_chunks(Answer& answer, const std::function<bool(std::string_view)>& on_body) {
  for (;;) {
    size_t line = 0;
    while ((line = buffer_.find("\r\n")) == std::string::npos) {
      if (!fill()) return false;
    }
    const size_t size = std::stoull(buffer_.substr(0, line), nullptr, 16);
    while (buffer_.size() < line + 2 + size + 2) {
      if (!fill()) return false;
    }
    const std::string part = buffer_.substr(line + 2, size);
    buffer_.erase(0, line + 2 + size + 2);
    if (size == 0) return true;
    if (!on_body) {
      answer.body += part;
    } else if (!on_body(part)) {
      return false;
    }
  }
}

std::string post(const std::string& path, const std::string& body) {
  return "POST " + path +
         " HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}

}  // namespace rotor::load
