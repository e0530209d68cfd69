// Which windows of a token stream a training step sees: pure functions of seed and place, so that a resumed
// run goes on where it was, and nothing is kept in memory however long the stream is.
#pragma once

#include <cstdint>

namespace rotor::train {

/// Row `row` of the batch of step `step`: a number from 0 to count - 1, each equally likely.
int64_t random_start(uint64_t seed, int64_t step, int64_t row, int64_t count);

/// Where a permutation of 0 to count - 1 sends `index`. It depends on seed and epoch alone: a Feistel network
/// over the next power of four, applied until the result is in range (cycle walking; Black and Rogaway 2002).
int64_t shuffled_index(uint64_t seed, int64_t epoch, int64_t index, int64_t count);

}  // namespace rotor::train
