// The bytes of one connection, plain or by TLS, where nothing waits for ever: each read has a deadline, each
// write must get on. It knows nothing of HTTP but where a head ends.
#pragma once

#include <openssl/ssl.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace rotor::runtime::server {

using ChannelClock = std::chrono::steady_clock;

/// Certificate and key of a server; TLS 1.2 and 1.3.
class TlsContext {
 public:
  /// Both are PEM files, the certificate's with what leads to a known authority behind it. Throws Error
  /// naming the file that cannot be used, and if they do not belong together.
  TlsContext(const std::string& certificate_file, const std::string& key_file);
  SSL_CTX* get() const { return context_.get(); }

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  std::unique_ptr<SSL_CTX, Free> context_;
};

/// One thread uses a channel; only cut() may come from another one.
class Channel {
 public:
  using Deadline = ChannelClock::time_point;
  enum class Result { ok, closed, timed_out, too_long, not_tls };

  /// Takes `socket`, which does not block. `tls`: nullptr for plain bytes; must outlive this object.
  Channel(int socket, const TlsContext* tls, std::chrono::milliseconds write_timeout);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  /// To be called first. not_tls: what came is no TLS; what is written from now on goes out plain.
  Result handshake(Deadline deadline);
  /// Waits for the first byte of a request.
  Result wait(Deadline deadline);
  /// Reads up to and with the first empty line; too_long: `limit` bytes came without one.
  Result read_head(size_t limit, Deadline deadline, std::string& head);
  /// Reads some bytes that come after the head. 0: the other side has ended; -1: it is too slow, or gone.
  int64_t read(char* bytes, size_t size, Deadline deadline);
  /// Sends everything; false if the reader takes less than 16 KiB/s after `write_timeout`, or is gone.
  bool write(std::string_view bytes);

  /// Whether the other side hung up: it closed the connection, or its half of it. Costs a system call.
  bool gone() const;
  /// Says that nothing more will be written, and reads away what comes, a second at most: a connection that
  /// is closed with unread bytes makes the other side lose what was written last (RFC 9112, 9.6).
  void linger();
  /// Ends all reading and writing, now and later.
  void cut();
  uint64_t bytes_written() const { return bytes_written_; }

 private:
  struct Free {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  bool poll_for(short events, Deadline deadline) const;
  /// Reads into buffer_.
  Result fill(Deadline deadline);
  int64_t receive(char* bytes, size_t size, Deadline deadline);
  /// What to wait for before an OpenSSL call is repeated; 0: never.
  short wanted_events(int result) const;

  const int socket_;
  const std::chrono::milliseconds write_timeout_;
  std::unique_ptr<SSL, Free> ssl_;
  std::string buffer_;  ///< read and not yet asked for
  bool timed_out_ = false;
  bool broken_ = false;  ///< a write failed: no other will be tried
  uint64_t bytes_written_ = 0;
};

}  // namespace rotor::runtime::server
