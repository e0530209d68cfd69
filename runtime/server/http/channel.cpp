// Reading and writing with deadlines.
#include "runtime/server/http/channel.h"

#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "rotor/core/error.h"

namespace rotor::runtime::server {
namespace {

constexpr size_t kReadBytes = 16384;
constexpr int64_t kSlowestBytesPerMs = 16;
constexpr auto kLinger = std::chrono::seconds(1);
constexpr char kTlsHandshake = 0x16;  // ContentType handshake, RFC 8446, 5.1: no letter of an HTTP method

std::string openssl_reason() {
  const unsigned long code = ERR_get_error();
  const char* reason = ERR_reason_error_string(code);
  ERR_clear_error();
  return reason != nullptr ? reason : "unknown";
}

}  // namespace

TlsContext::TlsContext(const std::string& certificate_file, const std::string& key_file)
    : context_(SSL_CTX_new(TLS_server_method())) {
  ERR_clear_error();
  SSL_CTX* const context = context_.get();
  if (context == nullptr) fail("TLS: ", openssl_reason());
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  // Renegotiation of TLS 1.2 is work that a client gets for nothing.
  SSL_CTX_set_options(context,
                      SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (SSL_CTX_use_certificate_chain_file(context, certificate_file.c_str()) != 1) {
    fail(certificate_file, ": expected a certificate in PEM, found: ", openssl_reason());
  }
  if (SSL_CTX_use_PrivateKey_file(context, key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    fail(key_file, ": expected the private key of ", certificate_file, " in PEM, found: ", openssl_reason());
  }
}

Channel::Channel(int socket, const TlsContext* tls, std::chrono::milliseconds write_timeout)
    : socket_(socket), write_timeout_(write_timeout) {
  if (tls == nullptr) return;
  ssl_.reset(SSL_new(tls->get()));
  if (ssl_ == nullptr || SSL_set_fd(ssl_.get(), socket_) != 1) broken_ = true;
}

Channel::~Channel() {
  ssl_.reset();
  close(socket_);
}

bool Channel::poll_for(short events, Deadline deadline) const {
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - ChannelClock::now()).count();
    pollfd poll_entry = {socket_, events, 0};
    const int found = poll(&poll_entry, 1, static_cast<int>(std::clamp<int64_t>(left + 1, 0, 1 << 30)));
    if (found > 0) return true;
    if (found < 0 && errno != EINTR) return false;
    if (ChannelClock::now() >= deadline) return false;
  }
}

short Channel::wanted_events(int result) const {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return POLLIN;
    case SSL_ERROR_WANT_WRITE:
      return POLLOUT;
    default:
      return 0;
  }
}

Channel::Result Channel::handshake(Deadline deadline) {
  if (broken_) return Result::closed;
  if (ssl_ == nullptr) return Result::ok;
  if (!poll_for(POLLIN, deadline)) return Result::timed_out;
  char first = 0;
  if (recv(socket_, &first, 1, MSG_PEEK) != 1) return Result::closed;
  if (first != kTlsHandshake) {
    ssl_.reset();
    return Result::not_tls;
  }
  while (true) {
    ERR_clear_error();
    const int result = SSL_accept(ssl_.get());
    if (result == 1) return Result::ok;
    const short events = wanted_events(result);
    if (events == 0) {
      ERR_clear_error();
      broken_ = true;
      return Result::closed;
    }
    if (!poll_for(events, deadline)) return Result::timed_out;
  }
}

int64_t Channel::receive(char* bytes, size_t size, Deadline deadline) {
  while (true) {
    short events = POLLIN;
    if (ssl_ == nullptr) {
      const ssize_t count = recv(socket_, bytes, size, 0);
      if (count >= 0) return count;
      if (errno == EINTR) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) return -1;
    } else {
      ERR_clear_error();
      const int count = SSL_read(ssl_.get(), bytes, static_cast<int>(size));
      if (count > 0) return count;
      if (SSL_get_error(ssl_.get(), count) == SSL_ERROR_ZERO_RETURN) return 0;
      events = wanted_events(count);
      if (events == 0) {
        ERR_clear_error();
        broken_ = true;  // OpenSSL forbids any other call after such an error
        return -1;
      }
    }
    if (!poll_for(events, deadline)) {
      timed_out_ = true;
      return -1;
    }
  }
}

Channel::Result Channel::fill(Deadline deadline) {
  if (broken_) return Result::closed;
  char bytes[kReadBytes];
  timed_out_ = false;
  const int64_t count = receive(bytes, sizeof(bytes), deadline);
  if (count <= 0) return timed_out_ ? Result::timed_out : Result::closed;
  buffer_.append(bytes, static_cast<size_t>(count));
  return Result::ok;
}

Channel::Result Channel::wait(Deadline deadline) {
  return buffer_.empty() ? fill(deadline) : Result::ok;
}

Channel::Result Channel::read_head(size_t limit, Deadline deadline, std::string& head) {
  constexpr std::string_view kEnd = "\r\n\r\n";
  size_t searched = 0;
  while (true) {
    // RFC 9112, 2.2: empty lines before a request are to be overlooked.
    while (buffer_.starts_with("\r\n")) buffer_.erase(0, 2);
    const size_t end = buffer_.find(kEnd, searched);
    if (end != std::string::npos && end + kEnd.size() <= limit) {
      head = buffer_.substr(0, end + kEnd.size());
      buffer_.erase(0, end + kEnd.size());
      return Result::ok;
    }
    if (buffer_.size() >= limit) return Result::too_long;
    searched = buffer_.size() < kEnd.size() ? 0 : buffer_.size() - kEnd.size() + 1;
    if (const Result result = fill(deadline); result != Result::ok) return result;
  }
}

int64_t Channel::read(char* bytes, size_t size, Deadline deadline) {
  if (buffer_.empty()) {
    if (broken_ || ChannelClock::now() >= deadline) return -1;
    return receive(bytes, size, deadline);
  }
  const size_t count = std::min(size, buffer_.size());
  buffer_.copy(bytes, count);
  buffer_.erase(0, count);
  return static_cast<int64_t>(count);
}

bool Channel::write(std::string_view bytes) {
  const auto time_for_bytes =
      std::chrono::milliseconds(static_cast<int64_t>(bytes.size()) / kSlowestBytesPerMs);
  const Deadline deadline = ChannelClock::now() + write_timeout_ + time_for_bytes;
  while (!bytes.empty() && !broken_) {
    short events = POLLOUT;
    int64_t count = 0;
    if (ssl_ == nullptr) {
      count = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK) broken_ = true;
    } else {
      ERR_clear_error();
      const size_t at_once = std::min<size_t>(bytes.size(), 1 << 20);
      const int result = SSL_write(ssl_.get(), bytes.data(), static_cast<int>(at_once));
      count = result;
      if (result <= 0) events = wanted_events(result);
      if (events == 0) broken_ = true;
    }
    if (count > 0) {
      bytes.remove_prefix(static_cast<size_t>(count));
      bytes_written_ += static_cast<uint64_t>(count);
    } else if (!broken_ && !poll_for(events, deadline)) {
      broken_ = true;
    }
  }
  return !broken_;
}

bool Channel::gone() const {
  if (broken_) return true;
  pollfd poll_entry = {socket_, POLLRDHUP, 0};
  return poll(&poll_entry, 1, 0) > 0;  // POLLHUP and POLLERR are always told
}

void Channel::linger() {
  if (ssl_ != nullptr && !broken_) SSL_shutdown(ssl_.get());
  ERR_clear_error();
  shutdown(socket_, SHUT_WR);
  const Deadline deadline = ChannelClock::now() + kLinger;
  char bytes[kReadBytes];
  while (ChannelClock::now() < deadline) {
    const ssize_t count = recv(socket_, bytes, sizeof(bytes), 0);
    if (count == 0) return;
    if (count < 0 && errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) return;
    if (count < 0 && !poll_for(POLLIN, deadline)) return;
  }
}

void Channel::cut() {
  shutdown(socket_, SHUT_RDWR);
}

}  // namespace rotor::runtime::server
