// The part of some work that falls to one rank of several. Parts are a pure function of rank and size, so
// ranks exchange nothing to agree on them.
#pragma once

#include <cstdint>
#include <utility>

namespace rotor::train {

struct RankShare {
  int64_t rank = 0;
  int64_t size = 1;

  /// First and end of this rank's part of `count` things. Parts follow one another and differ by at most one.
  std::pair<int64_t, int64_t> of(int64_t count) const {
    return {count * rank / size, count * (rank + 1) / size};
  }
};

}  // namespace rotor::train
