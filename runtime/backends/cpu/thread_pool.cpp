// Rounds of work: the caller raises the round number, every thread computes its part, the caller waits for
// all.
#include "runtime/backends/cpu/thread_pool.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "rotor/core/error.h"

namespace rotor::runtime {
namespace {

constexpr int kSpins = 20000;  // some tens of microseconds

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

int64_t thread_count(int64_t threads) {
  return threads > 0 ? threads : std::max<int64_t>(1, std::thread::hardware_concurrency());
}

}  // namespace

ThreadPool::ThreadPool(int64_t threads) {
  const int64_t count = thread_count(threads);
  try {
    for (int64_t i = 1; i < count; ++i) workers_.emplace_back([this] { worker(); });
  } catch (const std::system_error& e) {
    const size_t started = workers_.size() + 1;
    stop();
    fail("threads: cannot start ", count, " (", started, " were started): ", e.what());
  }
}

ThreadPool::~ThreadPool() {
  stop();
}

void ThreadPool::stop() {
  {
    const std::lock_guard lock(sleep_);
    stopping_ = true;
    round_.fetch_add(1);
  }
  wake_.notify_all();
  for (std::thread& thread : workers_) thread.join();
}

/// Guided self-scheduling (Polychronopoulos and Kuck 1987): each part is a share of what is left.
void ThreadPool::run_parts() noexcept {
  const int64_t shares = 2 * threads() * grain_;
  int64_t begin = next_.load(std::memory_order_relaxed);
  while (begin < count_) {
    const int64_t size = std::max<int64_t>(1, (count_ - begin + shares - 1) / shares) * grain_;
    if (!next_.compare_exchange_weak(begin, begin + size, std::memory_order_relaxed)) continue;
    try {
      work_(begin, std::min(begin + size, count_));
    } catch (...) {
      next_.store(count_);
      const std::lock_guard lock(error_mutex_);
      if (error_ == nullptr) error_ = std::current_exception();
    }
    begin = next_.load(std::memory_order_relaxed);
  }
}

void ThreadPool::run(int64_t count, int64_t grain, WorkRef work) {
  if (count <= 0) return;
  if (workers_.empty() || count <= grain) return work(0, count);
  const std::lock_guard turn(callers_);
  work_ = work;
  count_ = count;
  grain_ = grain;
  next_.store(0, std::memory_order_relaxed);
  pending_.store(static_cast<int64_t>(workers_.size()));
  round_.fetch_add(1);
  if (sleeping_.load() > 0) {
    { const std::lock_guard lock(sleep_); }  // whoever counted as sleeping waits on wake_ now
    wake_.notify_all();
  }
  run_parts();
  for (int spins = 0; pending_.load(std::memory_order_acquire) > 0; ++spins) {
    spins < kSpins ? pause() : std::this_thread::yield();
  }
  if (error_ != nullptr) std::rethrow_exception(std::exchange(error_, nullptr));
}

void ThreadPool::worker() {
  uint64_t seen = 0;
  while (true) {
    for (int spins = 0; round_.load() == seen && spins < kSpins; ++spins) pause();
    if (round_.load() == seen) {
      std::unique_lock lock(sleep_);
      sleeping_.fetch_add(1);
      wake_.wait(lock, [&] { return round_.load() != seen; });
      sleeping_.fetch_sub(1);
    }
    ++seen;
    if (stopping_) return;
    run_parts();
    pending_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace rotor::runtime
