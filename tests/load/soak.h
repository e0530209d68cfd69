// Whether a running server outlasts many clients, of which some hang up, read slowly, or send rubbish.
#pragma once

#include <cstdint>

#include "rotor/formats/json.h"
#include "tests/support/http_client.h"

namespace rotor::load {

struct SoakOptions {
  int64_t requests = 10000;
  int64_t clients = 64;  ///< at once
  int64_t pid = 0;       ///< of the server, whose memory is watched; 0: is not
  uint64_t seed = 1;
  bool hostile = true;  ///< else all behave
};

/// Greedy answers must be those that a client alone was given before; refusals must have a proper status and
/// an error in OpenAI's form. `wrong` counts what was not so, `examples` shows some of it; `outcomes` counts
/// all by kind, "failed" those that met no server. `memory_growth`: resident bytes at the end over those
/// after a quarter of the requests, less 1.
Json soak(const test::HttpAddress& address, const SoakOptions& options);

}  // namespace rotor::load
