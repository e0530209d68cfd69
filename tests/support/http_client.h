// A client that tests make misbehave: it sends exactly these bytes, when they are told to, and reads what
// comes.
#pragma once

#include <openssl/ssl.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace rotor::test {

struct HttpAddress {
  std::string host = "127.0.0.1";  ///< as a number
  int port = 8080;
};

struct HttpAnswer {
  int status = 0;                              ///< 0: the connection ended without one
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;                            ///< chunks joined
  bool whole = false;                          ///< it had its length, or its last chunk
};

class HttpClient {
 public:
  /// Gets its body piece by piece, and ends the reading with false.
  using OnBody = std::function<bool(std::string_view piece)>;

  /// Throws Error if nobody listens there. `tls`: trusts any certificate.
  explicit HttpClient(const HttpAddress& address, bool tls = false);
  /// The same on 127.0.0.1.
  explicit HttpClient(int port, bool tls = false) : HttpClient(HttpAddress{.port = port}, tls) {}
  /// Connects to a unix socket.
  explicit HttpClient(const std::string& path);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// False if the server hung up.
  bool send(std::string_view bytes);
  /// What comes next, at most `size` bytes; "" at the end and after `patience`.
  std::string receive(size_t size = 4096, std::chrono::milliseconds patience = std::chrono::seconds(20));
  /// Reads one answer. `no_body`: it answers HEAD.
  HttpAnswer answer(bool no_body = false, const OnBody& on_body = {});
  /// Sends "METHOD path HTTP/1.1" with Host and `headers` (each ending in CRLF) and `body`, reads the answer.
  HttpAnswer request(const std::string& method, const std::string& path, const std::string& headers = "",
                     const std::optional<std::string>& body = std::nullopt);
  /// For how long answer() waits for the next bytes, 20 s at first.
  void wait_for(std::chrono::milliseconds patience) { patience_ = patience; }
  /// Whether the server closed the connection within `patience`.
  bool closed(std::chrono::milliseconds patience = std::chrono::seconds(20));
  /// Says nothing more, but still listens.
  void end_of_speech();
  /// Takes as little as possible into the kernel's buffers: to be called before much is sent.
  void small_buffer();

 private:
  bool fill(std::chrono::milliseconds patience);
  bool read_until(std::string_view mark, std::string& text);
  bool read_count(size_t count, std::string& text);

  int socket_ = -1;
  std::string buffer_;
  std::chrono::milliseconds patience_ = std::chrono::seconds(20);
  SSL_CTX* context_ = nullptr;
  SSL* ssl_ = nullptr;
};

/// A POST of JSON, to be sent as it is.
std::string json_post(const std::string& path, const std::string& body);

}  // namespace rotor::test
