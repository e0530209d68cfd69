// How fast a running server answers streams at once.
#pragma once

#include <cstdint>

#include "rotor/formats/json.h"
#include "tests/support/http_client.h"

namespace rotor::load {

struct SpeedOptions {
  int64_t rounds = 5;   ///< behind one that warms up
  int64_t tokens = 64;  ///< of each answer
  int64_t words = 8;    ///< of each prompt
};

/// `streams` greedy answers at once: `tokens_per_second` of all together, the median over rounds with its
/// quartiles, and `first_token_seconds`, the median over streams with its 95th percentile. Throws Error for
/// an answer that is none.
Json measure_speed(const test::HttpAddress& address, int64_t streams, const SpeedOptions& options);

}  // namespace rotor::load
