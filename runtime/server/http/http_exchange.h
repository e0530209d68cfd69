// One request and its answer on a channel: what is refused before a handler is asked, the body, the handler,
// and the response. cpp-httplib decodes bodies and writes responses; it never sees a head that came from
// outside, since release 0.11 takes "Content-Length: x" for 0, decodes %-escapes in headers, and unpacks gzip
// without a limit.
#pragma once

#include <functional>
#include <vector>

#include "runtime/server/http/api_error.h"
#include "runtime/server/http/body_budget.h"
#include "runtime/server/http/channel.h"
#include "runtime/server/http/http.h"
#include "runtime/server/http/http_rules.h"
#include "runtime/server/http/request_record.h"

namespace rotor::runtime::server {

/// What requests meet; all of it outlives them.
struct ExchangeSide {
  const HttpRules& rules;
  const std::vector<HttpRoute>& routes;
  BodyBudget& bodies;
  std::function<bool()> head_arrived;  ///< called once a head is whole; false: the connection has to end
  std::function<bool()> may_continue;  ///< whether the connection may be used again; asked before it is said
};

/// Reads a request, of which the first byte is there, and answers it; `record` says how that went. Returns
/// whether the connection can be used again.
bool exchange(Channel& channel, const ExchangeSide& side, RequestRecord& record);

/// Answers without having read a request; `record` says how that went.
void refuse(Channel& channel, const ApiError& error, RequestRecord& record);

}  // namespace rotor::runtime::server
