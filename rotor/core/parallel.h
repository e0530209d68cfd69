// Work on large pieces by all cores: threads are started and joined in each call, so a piece should take
// milliseconds. (Inference has a pool of its own, runtime/backends/cpu/thread_pool.h.)
#pragma once

#include <cstddef>
#include <functional>

namespace rotor {

/// Calls work(0), ..., work(count - 1), each once, on up to one thread a core. The first exception ends the
/// rest and is thrown again.
void parallel_for(size_t count, const std::function<void(size_t)>& work);

}  // namespace rotor
