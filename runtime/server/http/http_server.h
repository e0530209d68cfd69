// HTTP/1.1 for many clients at once, over TCP or a unix socket, plain or by TLS: a thread a connection, up to
// a limit. A client that is slow, idle or gone costs at most its own thread, and that not for long; what
// requests mean is in the routes' handlers, and what is refused before them in http_rules.h.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "runtime/server/http/body_budget.h"
#include "runtime/server/http/channel.h"
#include "runtime/server/http/http.h"
#include "runtime/server/http/http_rules.h"
#include "runtime/server/http/listeners.h"
#include "runtime/server/http/request_record.h"

namespace rotor::runtime::server {

struct HttpServerOptions {
  std::string host = "127.0.0.1";  ///< as in Listeners
  int port = 8080;                 ///< 0: a free one
  std::string tls_certificate;     ///< PEM files; both "": no TLS
  std::string tls_key;
  HttpRules rules;
  int64_t max_connections =
      512;  ///< more are answered with 503, unless one without a whole head can be closed instead
  std::chrono::milliseconds idle_timeout{75'000};   ///< of a connection between requests
  std::chrono::milliseconds write_timeout{30'000};  ///< for a reader that takes nothing
  RequestObserver on_request;                       ///< is told of every answer; from many threads
};

class HttpServer {
 public:
  /// Listens from now on; clients that connect wait for start(). Throws Error for what cannot be bound, and
  /// for files of TLS that cannot be used.
  HttpServer(HttpServerOptions options, std::vector<HttpRoute> routes);
  /// stop(0).
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  void start();
  /// For requests that come from now on; those that run keep theirs.
  void set_routes(std::vector<HttpRoute> routes);
  int port() const { return listeners_.port(); }
  bool loopback() const { return listeners_.loopback(); }
  int64_t connections() const;

  /// Takes no new connections, closes those that are idle, and gives the others `time` to finish what they
  /// are at; then cuts them. Returns when the last handler has: one that never asks gone() holds it up.
  /// Returns whether nothing had to be cut, by this call or another. A second call, from another thread, with
  /// less time shortens the first.
  bool stop(std::chrono::milliseconds time);

 private:
  /// What a connection is at. Those without a whole head cost others nothing, and may be closed for them.
  enum class Phase { idle, head, busy };
  struct Connection {
    std::unique_ptr<Channel> channel;
    std::thread thread;
    std::string remote;
    bool surplus = false;  ///< beyond the limit: is told so
    bool closed = false;   ///< its channel was cut for others, or to stop
    Phase phase = Phase::busy;
    ChannelClock::time_point since;  ///< when the phase began
  };
  using Place = std::list<Connection>::iterator;

  void accept_loop();
  void accept_one(int listener);
  /// Closes the connection that has been without a whole head longest. Returns whether there was one.
  bool make_room();
  std::shared_ptr<const std::vector<HttpRoute>> routes() const;
  void run(Place place);
  void serve(Connection& connection);
  void tell(RequestRecord& record, ChannelClock::time_point began) const;
  /// False: the connection has to end.
  bool enter(Connection& connection, Phase phase);
  void join_finished();

  const HttpServerOptions options_;
  std::unique_ptr<TlsContext> tls_;
  Listeners listeners_;
  int wake_ = -1;  ///< eventfd that ends accept_loop()
  std::thread acceptor_;
  std::atomic<bool> stopping_ = false;

  BodyBudget bodies_;

  mutable std::mutex mutex_;
  std::shared_ptr<const std::vector<HttpRoute>> routes_;
  std::condition_variable ended_;
  std::list<Connection> connections_;
  std::list<Connection> finished_;  ///< whose threads are to be joined
  ChannelClock::time_point cut_at_ = ChannelClock::time_point::max();
  bool has_cut_ = false;
};

/// "req_" and 32 random hexadecimal digits.
std::string new_request_id();

}  // namespace rotor::runtime::server
