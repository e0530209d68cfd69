// One request, answered with cpp-httplib's help.
#include "runtime/server/http/http_exchange.h"

#include <httplib.h>

#include <limits>

#include "runtime/engine/batcher.h"

namespace rotor::runtime::server {
namespace {

/// What cpp-httplib reads and writes: first a head of ours, then the bytes of the channel.
class ChannelStream : public httplib::Stream {
 public:
  ChannelStream(Channel& channel, std::string head, BodyShare& body, Channel::Deadline deadline)
      : channel_(channel), head_(std::move(head)), body_(body), deadline_(deadline) {}

  bool is_readable() const override { return true; }
  bool is_writable() const override { return !channel_.gone(); }
  ssize_t read(char* bytes, size_t size) override {
    if (!head_.empty()) {
      const size_t count = head_.copy(bytes, size);
      head_.erase(0, count);
      return static_cast<ssize_t>(count);
    }
    // Counted here, since the library keeps the lines of chunks, too, however long they are.
    const int64_t count = channel_.read(bytes, size, deadline_);
    const bool fits = count <= 0 || body_.add(static_cast<size_t>(count)) == BodyShare::Result::ok;
    return fits ? count : -1;
  }
  ssize_t write(const char* bytes, size_t size) override {
    return channel_.write({bytes, size}) ? static_cast<ssize_t>(size) : -1;
  }
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return 0; }

 private:
  Channel& channel_;
  std::string head_;
  BodyShare& body_;
  const Channel::Deadline deadline_;
};

/// The life of one request. What it throws inside cpp-httplib's calls would be lost: nothing leaves answer().
class Exchange : private httplib::Server {
 public:
  Exchange(Channel& channel, const ExchangeSide& side, RequestRecord& record)
      : channel_(channel),
        side_(side),
        rules_(side.rules),
        body_(side.bodies, rules_.max_body_bytes),
        record_(record),
        deadline_(ChannelClock::now() + rules_.request_timeout) {
    svr_sock_ = 0;  // any socket: without one, the library believes that it is to stop
    set_payload_max_length(std::numeric_limits<size_t>::max());
    set_pre_routing_handler([this](const httplib::Request&, httplib::Response& response) {
      if (body_follows_) return HandlerResponse::Unhandled;
      fill(response, answer(nullptr));
      return HandlerResponse::Handled;
    });
    Post("/",
         [this](const httplib::Request&, httplib::Response& response, const httplib::ContentReader& reader) {
           HttpResponse ours = answer(&reader);
           body_.release();  // a stream goes on without it
           fill(response, std::move(ours));
         });
    set_post_routing_handler(
        [this](const httplib::Request&, httplib::Response& response) { say_connection(response); });
  }

  bool run() {
    std::string text;
    switch (channel_.read_head(rules_.max_head_bytes, deadline_, text)) {
      case Channel::Result::ok:
        break;
      case Channel::Result::timed_out:
        return refuse(ApiError(408, "The request did not arrive in time"));
      case Channel::Result::too_long:
        return refuse(ApiError(431, cat("The request's headers are too large: expected at most ",
                                        rules_.max_head_bytes, " bytes")));
      default:
        record_.cut = true;
        return false;
    }
    if (!side_.head_arrived()) {
      record_.cut = true;
      return false;
    }
    try {
      head_ = parse_http_head(text);
      record_.method = head_.method;
      record_.path = head_.path;
      route_ = find_route(head_, side_.routes);
      if (route_ != nullptr) record_.route = route_->path;
      check_request(head_, route_, rules_);
    } catch (const ApiError& error) {
      return refuse(error);
    }
    keep_alive_ = head_.keep_alive;
    body_follows_ = head_.has_body();
    return serve();
  }

  /// Answers with an error and reads nothing more: where the next request would begin is unknown.
  bool refuse(const ApiError& error) {
    error_ = error;
    keep_alive_ = head_.keep_alive && !head_.has_body() && record_.method != "-";
    return serve();
  }

 private:
  bool serve() {
    if (body_follows_ && head_.expects_continue) channel_.write("HTTP/1.1 100 Continue\r\n\r\n");
    std::string ours = (body_follows_            ? "POST"
                        : head_.method == "HEAD" ? "HEAD"
                                                 : "GET") +
                       std::string(" / HTTP/1.1\r\n");
    if (body_follows_) {
      ours += head_.chunked ? "Transfer-Encoding: chunked\r\n"
                            : cat("Content-Length: ", *head_.content_length, "\r\n");
    }
    ChannelStream stream(channel_, ours + "\r\n", body_, deadline_);
    bool closed = false;
    const bool written = process_request(stream, false, closed, nullptr);
    if (!written) record_.cut = true;
    return written && keep_alive_;
  }

  HttpResponse answer(const httplib::ContentReader* reader) {
    try {
      if (error_) throw ApiError(*error_);
      HttpRequest request;
      if (reader != nullptr) request.body = read_body(*reader);
      if (route_ == nullptr) return options_response(head_, side_.routes, rules_);
      request.method = head_.method;
      request.path = head_.path;
      request.query = head_.query;
      request.id = record_.id;
      request.remote = record_.remote;
      request.header = [this](std::string_view name) { return head_.header(name); };
      request.gone = [this] { return hung_up(); };
      request.used = [this](const BatchUsage& usage) { record_.usage.push_back(usage); };
      return route_->handler(request);
    } catch (const ApiError& error) {
      if (error.status >= 500) record_.error = error.what();
      return error_response(error);
    } catch (const Error& error) {
      return error_response(ApiError(400, error.what()));
    } catch (const std::exception& error) {
      record_.error = error.what();
    } catch (...) {
      record_.error = "an exception of an unknown type";
    }
    // What went wrong in here is for the log, not for who asked.
    return error_response(
        ApiError(500, "The server had an error; its log says more of request " + record_.id));
  }

  std::string read_body(const httplib::ContentReader& reader) {
    std::string body;
    body.reserve(head_.content_length.value_or(0));  // growing, it would take twice its share
    const bool whole = reader([&](const char* bytes, size_t size) {
      body.append(bytes, size);
      return true;
    });
    // The library lets a chunk pass that is longer than it says, and takes what is behind it for a request.
    if (head_.chunked || !whole) keep_alive_ = false;
    if (whole) return body;
    if (body_.result() == BodyShare::Result::too_large) {
      throw ApiError(413, cat("The request's body is too large: expected at most ", rules_.max_body_bytes,
                              " bytes, found more"));
    }
    if (body_.result() == BodyShare::Result::none_left) {
      ApiError error(503, "The server holds as many requests' bodies as it may", "", "too_many_bodies");
      error.retry_after_seconds = 1;
      throw error;
    }
    if (ChannelClock::now() >= deadline_) throw ApiError(408, "The request did not arrive in time");
    record_.cut = channel_.gone();
    throw ApiError(400, "HTTP request: the body is shorter than its length, or its chunks are broken");
  }

  bool hung_up() {
    record_.cut = record_.cut || channel_.gone();
    return record_.cut;
  }

  void fill(httplib::Response& to, HttpResponse from) {
    to.status = record_.status = from.status;
    for (const auto& [name, value] : from.headers) to.headers.emplace(name, value);
    for (const auto& [name, value] : cors_headers(head_, rules_)) to.headers.emplace(name, value);
    to.set_header("x-request-id", record_.id);
    to.set_header("Server", "rotor");
    to.set_header("X-Content-Type-Options", "nosniff");
    if (!from.stream) {
      to.headers.erase("Content-Type");
      if (from.status != 204 && from.status != 304) to.set_content(from.body, from.content_type);
      return;
    }
    to.set_header("X-Accel-Buffering", "no");  // nginx then passes on each piece at once
    auto provide = [this, stream = std::move(from.stream)](size_t, httplib::DataSink& sink) {
      return run_stream(stream, sink);
    };
    if (head_.http_1_0) {  // knows no chunks: the end of the connection is the end of the answer
      keep_alive_ = false;
      to.set_content_provider(from.content_type, std::move(provide));
    } else {
      to.set_chunked_content_provider(from.content_type, std::move(provide));
    }
  }

  bool run_stream(const std::function<void(const HttpWrite&)>& stream, httplib::DataSink& sink) {
    try {
      stream([&](std::string_view bytes) {
        // An empty piece would end a chunked response.
        const bool sent = bytes.empty() ? !channel_.gone() : sink.write(bytes.data(), bytes.size());
        record_.cut = record_.cut || !sent;
        return sent;
      });
      sink.done();
      return true;
    } catch (const std::exception& error) {
      record_.error = error.what();
    } catch (...) {
      record_.error = "an exception of an unknown type";
    }
    return false;  // the status is out already: without the last chunk, the client knows that this is not all
  }

  /// The last word before the head of the response goes out.
  void say_connection(httplib::Response& response) {
    if (!side_.may_continue()) keep_alive_ = false;
    response.headers.erase("Keep-Alive");
    response.headers.erase("Accept-Ranges");
    if (response.status == 204 || response.status == 304) response.headers.erase("Content-Length");
    if (!keep_alive_) response.set_header("Connection", "close");
    if (keep_alive_ && head_.http_1_0) response.set_header("Connection", "keep-alive");
  }

  Channel& channel_;
  const ExchangeSide& side_;
  const HttpRules& rules_;
  BodyShare body_;
  RequestRecord& record_;
  const Channel::Deadline deadline_;
  HttpHead head_;
  const HttpRoute* route_ = nullptr;
  std::optional<ApiError> error_;
  bool body_follows_ = false;
  bool keep_alive_ = false;
};

}  // namespace

bool exchange(Channel& channel, const ExchangeSide& side, RequestRecord& record) {
  return Exchange(channel, side, record).run();
}

void refuse(Channel& channel, const ApiError& error, RequestRecord& record) {
  const HttpRules rules;
  const std::vector<HttpRoute> routes;
  const auto never = [] { return false; };
  BodyBudget bodies(0);
  const ExchangeSide side = {rules, routes, bodies, never, never};
  Exchange(channel, side, record).refuse(error);
}

}  // namespace rotor::runtime::server
