// HTTP as the API's handlers see it: a request comes whole, a response goes out whole or bit by bit. How
// bytes travel, and what is refused before a handler is asked (keys, sizes, slow clients), is http_server.h.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rotor::runtime {
struct BatchUsage;
}

namespace rotor::runtime::server {

struct HttpRequest {
  std::string method;  ///< "POST"
  std::string path;    ///< "/v1/models", without the query
  std::multimap<std::string, std::string> query;
  std::string body;
  std::string id;      ///< of this request, in its log line and its answer's header x-request-id
  std::string remote;  ///< address of the client
  /// The first header of that name, whatever its case; "" if there is none.
  std::function<std::string(std::string_view name)> header;
  /// Whether the client hung up meanwhile: to be asked while it waits for an answer. Cheap.
  std::function<bool()> gone;
  /// To be told what each text of the answer took, for the log and the metrics; also while it is streamed.
  std::function<void(const BatchUsage& usage)> used;
};

/// Sends a piece of a response. False: the client is gone or too slow; nothing more can be sent.
using HttpWrite = std::function<bool(std::string_view bytes)>;

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  /// If it is there, it is called once, with the status and the headers already out, in place of `body`; what
  /// it writes arrives at once, and the response ends when it returns.
  std::function<void(const HttpWrite& write)> stream;
};

using HttpHandler = std::function<HttpResponse(const HttpRequest& request)>;

/// A path that is answered. Handlers run on many threads at once; what they throw becomes a status 500.
struct HttpRoute {
  std::string method;
  std::string path;  ///< exactly, or with a last part "*" that matches everything behind it
  HttpHandler handler;
  bool needs_key = true;  ///< where keys are asked for at all
};

}  // namespace rotor::runtime::server
