// A backend held against another one, op by op: what a device must pass before a model runs on it, and what
// `rotor doctor` shows.
#pragma once

#include <string>
#include <vector>

#include "runtime/backends/backend.h"

namespace rotor::runtime {

struct BackendOpCheck {
  std::string op;           ///< "linear, int8, 5 tokens"
  double difference = 0.0;  ///< largest, relative to the largest magnitude of the reference's values
  double bound = 0.0;
  bool passed() const { return difference <= bound; }
};

enum class CheckDepth {
  quick,  ///< one size of what a language model needs: before every start
  full,   ///< all ops at sizes with and without rests
};

/// Every op on random values that are the same every time. Bounds: none for copies and sums of integers,
/// float32 rounding for all else. `reference` is the cpu backend.
std::vector<BackendOpCheck> check_backend(Backend& backend, Backend& reference, CheckDepth depth);

}  // namespace rotor::runtime
