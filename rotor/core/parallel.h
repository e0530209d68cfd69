// Work on large pieces by all cores: threads are started and joined in each call, so a piece should take
// milliseconds. (Inference has a pool of its own, runtime/backends/cpu/thread_pool.h.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace rotor {

/// Calls work(0), ..., work(count - 1), each once, on up to one thread a core. The first exception ends the
/// rest and is thrown again.
void parallel_for(size_t count, const std::function<void(size_t)>& work);

/// Makes pieces of a file on all cores and takes each in its turn: make(i, bytes) fills `bytes`, which may
/// hold an earlier piece, for i = 0, ..., count - 1; take(bytes) gets them in that order, one at a time,
/// while others are made. The first exception ends the rest and is thrown again.
void parallel_in_order(size_t count, const std::function<void(size_t, std::vector<uint8_t>&)>& make,
                       const std::function<void(std::span<const uint8_t>)>& take);

}  // namespace rotor
