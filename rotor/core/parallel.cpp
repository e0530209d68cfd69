// Whoever is free takes the next piece.
#include "rotor/core/parallel.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>

namespace rotor {

void parallel_for(size_t count, const std::function<void(size_t)>& work) {
  std::atomic<size_t> next = 0;
  std::exception_ptr error;
  std::mutex error_mutex;
  const auto run = [&] {
    for (size_t i = next++; i < count; i = next++) {
      try {
        work(i);
      } catch (...) {
        next = count;
        const std::lock_guard lock(error_mutex);
        if (error == nullptr) error = std::current_exception();
      }
    }
  };
  {
    const size_t threads = std::min<size_t>(count, std::max(1U, std::thread::hardware_concurrency()));
    std::vector<std::jthread> helpers;
    try {
      for (size_t i = 1; i < threads; ++i) helpers.emplace_back(run);
    } catch (const std::system_error&) {
      // Fewer threads do it as well.
    }
    run();
  }
  if (error != nullptr) std::rethrow_exception(error);
}

int64_t rows_a_piece(int64_t cols, int64_t multiple) {
  constexpr int64_t kValues = int64_t{1} << 21;
  return std::max<int64_t>(1, kValues / std::max<int64_t>(cols, 1) / multiple) * multiple;
}

void parallel_rows(int64_t rows, int64_t step,
                   const std::function<void(int64_t first, int64_t count)>& work) {
  parallel_for(static_cast<size_t>((rows + step - 1) / step), [&](size_t piece) {
    const int64_t first = static_cast<int64_t>(piece) * step;
    work(first, std::min(step, rows - first));
  });
}

void parallel_rows_in_order(
    int64_t rows, int64_t step,
    const std::function<void(int64_t first, int64_t count, std::vector<uint8_t>& bytes)>& make,
    const std::function<void(std::span<const uint8_t> bytes)>& take) {
  // Each thread makes a piece and then waits for its turn to hand it over: the others go on meanwhile.
  std::mutex mutex;
  std::condition_variable turn;
  int64_t next = 0;
  bool failed = false;
  std::vector<std::vector<uint8_t>> spare;  // memory of pieces that were taken: fresh pages are slow
  parallel_rows(rows, step, [&](int64_t first, int64_t count) {
    try {
      std::vector<uint8_t> bytes;
      {
        const std::lock_guard lock(mutex);
        if (!spare.empty()) {
          bytes = std::move(spare.back());
          spare.pop_back();
        }
      }
      make(first, count, bytes);
      std::unique_lock lock(mutex);
      turn.wait(lock, [&] { return failed || next == first; });
      if (failed) return;
      take(bytes);
      next += count;
      spare.push_back(std::move(bytes));
    } catch (...) {
      const std::lock_guard lock(mutex);
      failed = true;
      turn.notify_all();
      throw;
    }
    turn.notify_all();
  });
}

}  // namespace rotor
