// A client over plain sockets.
#include "tests/support/http_client.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "rotor/core/error.h"

namespace rotor::test {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

}  // namespace

HttpClient::HttpClient(const HttpAddress& at, bool tls) {
  sockaddr_storage address = {};
  const bool v6 = at.host.find(':') != std::string::npos;
  const uint16_t port = htons(static_cast<uint16_t>(at.port));
  int known = 0;
  if (v6) {
    auto& six = reinterpret_cast<sockaddr_in6&>(address);
    six.sin6_family = AF_INET6;
    six.sin6_port = port;
    known = inet_pton(AF_INET6, at.host.c_str(), &six.sin6_addr);
  } else {
    auto& four = reinterpret_cast<sockaddr_in&>(address);
    four.sin_family = AF_INET;
    four.sin_port = port;
    known = inet_pton(AF_INET, at.host.c_str(), &four.sin_addr);
  }
  if (known != 1) fail("host: expected an address like 127.0.0.1 or ::1, found \"", at.host, "\"");
  socket_ = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const socklen_t size = v6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  if (connect(socket_, reinterpret_cast<const sockaddr*>(&address), size) != 0) {
    const int error = errno;
    close(socket_);
    fail("cannot connect to ", at.host, ", port ", at.port, ": ", std::strerror(error));
  }
  const int on = 1;
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (!tls) return;
  context_ = SSL_CTX_new(TLS_client_method());
  ssl_ = SSL_new(context_);
  SSL_set_fd(ssl_, socket_);
  SSL_connect(ssl_);
}

HttpClient::HttpClient(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  socket_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    close(socket_);
    fail("cannot connect to ", path);
  }
}

HttpClient::~HttpClient() {
  SSL_free(ssl_);
  SSL_CTX_free(context_);
  close(socket_);
}

bool HttpClient::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ssl_ != nullptr ? SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()))
                                          : ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

bool HttpClient::fill(std::chrono::milliseconds patience) {
  char bytes[4096];
  pollfd poll_entry = {socket_, POLLIN, 0};
  const bool pending = ssl_ != nullptr && SSL_pending(ssl_) > 0;
  if (!pending && poll(&poll_entry, 1, static_cast<int>(patience.count())) <= 0) return false;
  const ssize_t count =
      ssl_ != nullptr ? SSL_read(ssl_, bytes, sizeof(bytes)) : recv(socket_, bytes, sizeof(bytes), 0);
  if (count <= 0) return false;
  buffer_.append(bytes, static_cast<size_t>(count));
  return true;
}

std::string HttpClient::receive(size_t size, std::chrono::milliseconds patience) {
  if (buffer_.empty()) fill(patience);
  std::string text = buffer_.substr(0, size);
  buffer_.erase(0, text.size());
  return text;
}

bool HttpClient::read_until(std::string_view mark, std::string& text) {
  size_t end = 0;
  while ((end = buffer_.find(mark)) == std::string::npos) {
    if (!fill(patience_)) return false;
  }
  text = buffer_.substr(0, end);
  buffer_.erase(0, end + mark.size());
  return true;
}

bool HttpClient::read_count(size_t count, std::string& text) {
  while (buffer_.size() < count) {
    if (!fill(patience_)) {
      text += buffer_;
      buffer_.clear();
      return false;
    }
  }
  text += buffer_.substr(0, count);
  buffer_.erase(0, count);
  return true;
}

HttpAnswer HttpClient::answer(bool no_body, const OnBody& on_body) {
  HttpAnswer answer;
  std::string line;
  if (!read_until("\r\n", line) || line.size() < 12 || !line.starts_with("HTTP/1.1 ")) return answer;
  answer.status = std::stoi(line.substr(9, 3));
  while (read_until("\r\n", line) && !line.empty()) {
    const size_t colon = line.find(": ");
    answer.headers[lower(line.substr(0, colon))] = colon == std::string::npos ? "" : line.substr(colon + 2);
  }
  if (no_body || answer.status == 204 || answer.status == 100) {
    answer.whole = true;
  } else if (answer.headers.contains("content-length")) {
    answer.whole = read_count(std::stoul(answer.headers["content-length"]), answer.body);
    if (on_body) on_body(answer.body);
  } else if (answer.headers["transfer-encoding"] == "chunked") {
    while (read_until("\r\n", line)) {
      const size_t size = std::stoul(line, nullptr, 16);
      std::string piece;
      const bool come = read_count(size, piece) && read_until("\r\n", line);
      answer.body += piece;
      answer.whole = come && size == 0;
      if (!come || size == 0 || (on_body && !on_body(piece))) break;
    }
  } else {
    while (fill(patience_)) {
    }
    answer.body.swap(buffer_);
    if (on_body) on_body(answer.body);
  }
  return answer;
}

HttpAnswer HttpClient::request(const std::string& method, const std::string& path, const std::string& headers,
                               const std::optional<std::string>& body) {
  std::string text = method + " " + path + " HTTP/1.1\r\n";
  if (headers.find("Host:") == std::string::npos) text += "Host: localhost\r\n";
  text += headers;
  if (body) text += "Content-Length: " + std::to_string(body->size()) + "\r\n";
  send(text + "\r\n" + body.value_or(""));
  return answer(method == "HEAD");
}

bool HttpClient::closed(std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  char bytes[4096];
  while (std::chrono::steady_clock::now() < deadline) {
    pollfd poll_entry = {socket_, POLLIN, 0};
    if (poll(&poll_entry, 1, static_cast<int>(patience.count())) <= 0) return false;
    if (recv(socket_, bytes, sizeof(bytes), 0) <= 0) return true;
  }
  return false;
}

void HttpClient::end_of_speech() {
  shutdown(socket_, SHUT_WR);
}

void HttpClient::small_buffer() {
  const int bytes = 4096;
  setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

std::string json_post(const std::string& path, const std::string& body) {
  return "POST " + path +
         " HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}

}  // namespace rotor::test
