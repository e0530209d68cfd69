// Connections: accepting, counting, closing.
#include "runtime/server/http/http_server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/rand.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <system_error>
#include <utility>

#include "runtime/server/http/api_error.h"
#include "runtime/server/http/http_exchange.h"

namespace rotor::runtime::server {
namespace {

/// Connections beyond the limit that are told so at the same time; even more are closed without a word.
constexpr int64_t kSurplus = 32;
constexpr auto kSurplusTime = std::chrono::seconds(2);
constexpr auto kPauseWithoutDescriptors = std::chrono::milliseconds(50);

std::unique_ptr<TlsContext> make_tls(const HttpServerOptions& options) {
  if (options.tls_certificate.empty() && options.tls_key.empty()) return nullptr;
  if (options.tls_certificate.empty() || options.tls_key.empty()) {
    fail("TLS needs a certificate and a key, found only one of them");
  }
  return std::make_unique<TlsContext>(options.tls_certificate, options.tls_key);
}

/// Small pieces go out at once, and a peer whose machine is off is noticed. Unix sockets know none of it.
void set_socket_options(int socket_fd, std::chrono::milliseconds write_timeout) {
  const int on = 1;
  setsockopt(socket_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  setsockopt(socket_fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
  const auto unanswered_ms = static_cast<unsigned>(write_timeout.count());
  setsockopt(socket_fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unanswered_ms, sizeof(unanswered_ms));
}

ApiError too_many_connections() {
  ApiError error(503, "The server has too many connections", "", "too_many_connections");
  error.retry_after_seconds = 1;
  return error;
}

}  // namespace

HttpServer::HttpServer(HttpServerOptions options, std::vector<HttpRoute> routes)
    : options_(std::move(options)),
      tls_(make_tls(options_)),
      listeners_(options_.host, options_.port),
      wake_(eventfd(0, EFD_CLOEXEC)),
      bodies_(std::max(options_.rules.body_memory_bytes, options_.rules.max_body_bytes)) {
  set_routes(std::move(routes));
  if (wake_ < 0) fail("no file descriptor for the server: ", std::system_category().message(errno));
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to sockets without MSG_NOSIGNAL
}

HttpServer::~HttpServer() {
  stop(std::chrono::milliseconds(0));
  close(wake_);
}

void HttpServer::start() {
  acceptor_ = std::thread([this] { accept_loop(); });
}

void HttpServer::set_routes(std::vector<HttpRoute> routes) {
  auto shared = std::make_shared<const std::vector<HttpRoute>>(std::move(routes));
  const std::lock_guard<std::mutex> lock(mutex_);
  routes_ = std::move(shared);
}

std::shared_ptr<const std::vector<HttpRoute>> HttpServer::routes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return routes_;
}

int64_t HttpServer::connections() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return static_cast<int64_t>(connections_.size());
}

void HttpServer::accept_loop() {
  std::vector<pollfd> waiting = {{wake_, POLLIN, 0}};
  for (const int listener : listeners_.sockets()) waiting.push_back({listener, POLLIN, 0});
  while (!stopping_) {
    if (poll(waiting.data(), waiting.size(), -1) < 0) continue;
    for (size_t i = 1; i < waiting.size() && !stopping_; ++i) {
      if (waiting[i].revents != 0) accept_one(waiting[i].fd);
    }
    join_finished();
  }
}

void HttpServer::accept_one(int listener) {
  const int socket_fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (socket_fd < 0) {
    const bool out_of_descriptors = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
    if (out_of_descriptors && !make_room()) std::this_thread::sleep_for(kPauseWithoutDescriptors);
    return;
  }
  set_socket_options(socket_fd, options_.write_timeout);
  auto channel = std::make_unique<Channel>(socket_fd, tls_.get(), options_.write_timeout);
  const int64_t count = connections();
  if (count >= options_.max_connections + kSurplus) return;
  const bool surplus = count >= options_.max_connections && !make_room();
  const std::lock_guard<std::mutex> lock(mutex_);
  connections_.emplace_front();
  const Place place = connections_.begin();
  place->channel = std::move(channel);
  place->remote = remote_address(socket_fd);
  place->surplus = surplus;
  try {
    place->thread = std::thread([this, place] { run(place); });
  } catch (const std::system_error&) {  // no more threads: the client sees its connection closed
    connections_.erase(place);
  }
}

bool HttpServer::make_room() {
  const std::lock_guard<std::mutex> lock(mutex_);
  Connection* oldest = nullptr;
  for (Connection& connection : connections_) {
    if (connection.phase == Phase::busy || connection.closed) continue;
    if (oldest == nullptr || connection.since < oldest->since) {
      oldest = &connection;
    }
  }
  if (oldest == nullptr) return false;
  oldest->closed = true;
  oldest->channel->cut();
  return true;
}

void HttpServer::run(Place place) {
  try {
    serve(*place);
  } catch (const std::exception& error) {  // no memory: this connection alone ends
    RequestRecord record;
    record.remote = place->remote;
    record.cut = true;
    record.error = error.what();
    tell(record, ChannelClock::now());
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  place->channel.reset();
  finished_.splice(finished_.begin(), connections_, place);
  ended_.notify_all();
}

void HttpServer::serve(Connection& connection) {
  Channel& channel = *connection.channel;
  auto began = ChannelClock::now();
  const auto new_record = [&] {
    RequestRecord record;
    record.id = new_request_id();
    record.remote = connection.remote;
    return record;
  };
  const auto refuse_all = [&](const ApiError& error) {
    RequestRecord record = new_record();
    refuse(channel, error, record);
    tell(record, began);
    channel.linger();
  };
  const auto time_limit =
      connection.surplus ? std::min<std::chrono::milliseconds>(kSurplusTime, options_.rules.request_timeout)
                         : options_.rules.request_timeout;
  // Who has not said anything yet may be closed for others, like who says nothing more.
  if (!connection.surplus && !enter(connection, Phase::idle)) return;
  const Channel::Result shaken = channel.handshake(began + time_limit);
  if (shaken == Channel::Result::not_tls) {
    began = ChannelClock::now();
    return refuse_all(ApiError(400, "This port speaks TLS only: expected https://, found plain HTTP"));
  }
  if (shaken != Channel::Result::ok) return;
  if (connection.surplus) return refuse_all(too_many_connections());
  auto patience = options_.rules.request_timeout;  // for the first request, the idle_timeout for the others
  while (enter(connection, Phase::idle)) {
    if (channel.wait(ChannelClock::now() + patience) != Channel::Result::ok) return;
    if (!enter(connection, Phase::head)) return;
    began = ChannelClock::now();
    RequestRecord record = new_record();
    const auto routes = this->routes();
    const uint64_t written = channel.bytes_written();
    const ExchangeSide side = {options_.rules, *routes, bodies_,
                               [&] { return enter(connection, Phase::busy); }, [this] { return !stopping_; }};
    const bool again = exchange(channel, side, record);
    record.bytes = channel.bytes_written() - written;
    tell(record, began);
    if (!again) {
      channel.linger();
      return;
    }
    patience = options_.idle_timeout;
  }
}

void HttpServer::tell(RequestRecord& record, ChannelClock::time_point began) const {
  record.seconds = std::chrono::duration<double>(ChannelClock::now() - began).count();
  if (options_.on_request) options_.on_request(record);
}

bool HttpServer::enter(Connection& connection, Phase phase) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (connection.closed || (stopping_ && phase == Phase::idle)) return false;
  connection.phase = phase;
  connection.since = ChannelClock::now();
  return true;
}

void HttpServer::join_finished() {
  std::list<Connection> finished;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    finished.swap(finished_);
  }
  for (Connection& connection : finished) connection.thread.join();
}

bool HttpServer::stop(std::chrono::milliseconds time) {
  const auto deadline = ChannelClock::now() + time;
  std::unique_lock<std::mutex> lock(mutex_);
  cut_at_ = std::min(cut_at_, deadline);
  ended_.notify_all();
  if (!stopping_.exchange(true)) {
    const uint64_t one = 1;
    if (write(wake_, &one, sizeof(one)) < 0) std::abort();  // an eventfd of ours always takes a 1
    lock.unlock();
    if (acceptor_.joinable()) acceptor_.join();
    lock.lock();
    listeners_.close_all();
  }
  for (Connection& connection : connections_) {
    if (connection.phase != Phase::idle || std::exchange(connection.closed, true)) continue;
    connection.channel->cut();
  }
  while (!connections_.empty() && ChannelClock::now() < cut_at_) {
    const auto until = cut_at_;  // a copy: another call may bring it forward meanwhile
    ended_.wait_until(lock, until);
  }
  if (!connections_.empty()) has_cut_ = true;
  for (Connection& connection : connections_) {
    if (connection.channel != nullptr) connection.channel->cut();
  }
  ended_.wait(lock, [this] { return connections_.empty(); });
  const bool finished = !has_cut_;
  lock.unlock();
  join_finished();
  return finished;
}

std::string new_request_id() {
  unsigned char bytes[16];
  if (RAND_bytes(bytes, sizeof(bytes)) != 1) fail("OpenSSL has no random numbers");
  std::string id = "req_";
  for (const unsigned char byte : bytes) {
    id += "0123456789abcdef"[byte >> 4];
    id += "0123456789abcdef"[byte & 15];
  }
  return id;
}

}  // namespace rotor::runtime::server
