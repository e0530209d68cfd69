// Routes for probes and for Prometheus.
#include "runtime/server/operation/operation_routes.h"

#include "runtime/server/http/api_error.h"

namespace rotor::runtime::server {

std::vector<HttpRoute> operation_routes(const Metrics& metrics, const OperationOptions& options) {
  const auto healthy = [](const HttpRequest&) {
    HttpResponse response;
    response.body = R"({"status": "ok"})";
    return response;
  };
  const auto when_ready = [ready = options.ready, healthy](const HttpRequest& request) {
    if (ready()) return healthy(request);
    ApiError error(503, "The server is not ready: it is starting or stopping", "", "not_ready");
    error.retry_after_seconds = 1;
    return error_response(error);
  };
  const auto measured = [&metrics](const HttpRequest&) {
    HttpResponse response;
    response.content_type = Metrics::kContentType;
    response.body = metrics.text();
    return response;
  };
  return {{"GET", "/health", healthy, false},
          {"GET", "/ready", when_ready, false},
          {"GET", "/metrics", measured, options.metrics_need_key}};
}

}  // namespace rotor::runtime::server
