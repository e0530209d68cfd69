// What is known of a request once it was answered, for its line in the log and for the metrics. It holds
// nothing of what was asked or answered, and no keys.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/engine/batcher.h"

namespace rotor::runtime::server {

struct RequestRecord {
  std::string id;
  std::string remote;
  std::string method = "-";  ///< "-" if what came was no request
  std::string path = "-";
  std::string route;  ///< path of the HttpRoute, "" if there was none
  int status = 0;     ///< 0: the connection ended before there was an answer
  uint64_t bytes = 0;
  double seconds = 0.0;
  bool cut = false;               ///< the client hung up, or was too slow, before it had the whole answer
  std::string error;              ///< what went wrong here, only with statuses from 500 on
  std::vector<BatchUsage> usage;  ///< of each text
};

using RequestObserver = std::function<void(const RequestRecord& record)>;

}  // namespace rotor::runtime::server
