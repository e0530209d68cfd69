// The paths by which a server is operated: /health, /ready and /metrics.
#pragma once

#include <functional>
#include <vector>

#include "runtime/server/http/http.h"
#include "runtime/server/operation/metrics.h"

namespace rotor::runtime::server {

struct OperationOptions {
  std::function<bool()> ready;  ///< whether requests are wanted: the model is loaded, and we are not stopping
  bool metrics_need_key = false;  ///< /health and /ready never do
};

/// GET /health: 200 as long as the process answers; GET /ready: 200, or 503 with Retry-After; GET /metrics.
/// `metrics` must outlive the routes.
std::vector<HttpRoute> operation_routes(const Metrics& metrics, const OperationOptions& options);

}  // namespace rotor::runtime::server
