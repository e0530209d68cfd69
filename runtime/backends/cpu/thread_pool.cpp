// Rounds of work: the caller raises the round number, every thread computes its part, the caller waits for
// all.
#include "runtime/backends/cpu/thread_pool.h"

#include <pthread.h>

#include <algorithm>
#include <fstream>
#include <istream>
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

/// Numbers of a list as the kernel writes it: "0,4" or "0-1".
std::vector<int> read_list(std::istream& in) {
  std::vector<int> numbers;
  for (int first = 0; in >> first;) {
    int last = first;
    if (in.peek() == '-') in.ignore(1) >> last;
    for (int i = first; i <= last && i < CPU_SETSIZE; ++i) numbers.push_back(i);
    if (in.peek() == ',') in.ignore(1);
  }
  return numbers;
}

/// Processors that this thread may use, one of each physical core first.
std::vector<int> processors(const cpu_set_t& allowed) {
  std::vector<std::pair<int64_t, int>> found;
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (!CPU_ISSET(i, &allowed)) continue;
    std::ifstream file(cat("/sys/devices/system/cpu/cpu", i, "/topology/thread_siblings_list"));
    const std::vector<int> siblings = read_list(file);
    const auto before = std::count_if(siblings.begin(), siblings.end(),
                                      [&](int other) { return other < i && CPU_ISSET(other, &allowed); });
    found.emplace_back(before, i);
  }
  std::sort(found.begin(), found.end());
  std::vector<int> ids;
  for (const auto& entry : found) ids.push_back(entry.second);
  return ids;
}

cpu_set_t allowed_processors() {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) {
    fail("pinning: cannot read which processors may be used");
  }
  return allowed;
}

void bind_thread(pthread_t thread, const cpu_set_t& to) {
  if (pthread_setaffinity_np(thread, sizeof(to), &to) != 0)
    fail("pinning: cannot bind a thread to its processor");
}

}  // namespace

ThreadPool::ThreadPool(int64_t threads, bool pin) {
  std::vector<int> ids;
  if (pin) {
    callers_processors_ = allowed_processors();
    ids = processors(*callers_processors_);
    if (threads == 0) threads = std::ssize(ids);
    if (std::cmp_less(ids.size(), threads)) {
      fail("pinning: expected at most ", ids.size(), " threads, one a processor that may be used, found ",
           threads, ": give -t ", ids.size(), ", or leave --pin out");
    }
  }
  const int64_t count = thread_count(threads);
  try {
    for (int64_t i = 1; i < count; ++i) workers_.emplace_back([this] { worker(); });
  } catch (const std::system_error& e) {
    const size_t started = workers_.size() + 1;
    stop();
    fail("threads: cannot start ", count, " (", started, " were started): ", e.what());
  }
  try {
    for (size_t i = 0; i < ids.size() && i <= workers_.size(); ++i) {
      cpu_set_t one;
      CPU_ZERO(&one);
      CPU_SET(ids[i], &one);
      bind_thread(i == 0 ? pthread_self() : workers_[i - 1].native_handle(), one);
    }
  } catch (...) {
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() {
  stop();
}

void ThreadPool::stop() {
  {
    const std::lock_guard lock(sleep_);
    stopping_ = true;
    round_.fetch_add(kRoundUnit);
  }
  wake_.notify_all();
  for (std::thread& thread : workers_) thread.join();
  if (callers_processors_) sched_setaffinity(0, sizeof(cpu_set_t), &*callers_processors_);
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

/// Whoever is there takes part. A worker that another program keeps from its processor is not waited for: the
/// caller does its share, and closes the round before it could come in late.
void ThreadPool::run(int64_t count, int64_t grain, WorkRef work) {
  if (count <= 0) return;
  if (workers_.empty() || count <= grain) return work(0, count);
  const std::lock_guard turn(callers_);
  work_ = work;
  count_ = count;
  grain_ = grain;
  next_.store(0, std::memory_order_relaxed);
  round_.fetch_add(kRoundUnit + kOpen);
  if (sleeping_.load() > 0) {
    { const std::lock_guard lock(sleep_); }  // whoever counted as sleeping waits on wake_ now
    wake_.notify_all();
  }
  run_parts();
  uint64_t joined = round_.fetch_sub(kOpen) - kOpen;
  for (int spins = 0; joined % kOpen > 0; joined = round_.load(std::memory_order_acquire), ++spins) {
    spins < kSpins ? pause() : std::this_thread::yield();
  }
  if (error_ != nullptr) std::rethrow_exception(std::exchange(error_, nullptr));
}

/// Joins the round that is open, if there is one; `seen`: the last one that was looked at.
bool ThreadPool::join_round(uint64_t& seen) {
  uint64_t now = round_.load();
  do {
    seen = now / kRoundUnit;
    if ((now & kOpen) == 0) return false;
  } while (!round_.compare_exchange_weak(now, now + 1));
  return true;
}

void ThreadPool::worker() {
  uint64_t seen = 0;
  const auto is_new = [&] { return round_.load() / kRoundUnit != seen; };
  while (true) {
    for (int spins = 0; !is_new() && spins < kSpins; ++spins) pause();
    if (!is_new()) {
      std::unique_lock lock(sleep_);
      sleeping_.fetch_add(1);
      wake_.wait(lock, is_new);
      sleeping_.fetch_sub(1);
    }
    const bool joined = join_round(seen);
    if (stopping_) return;
    if (!joined) continue;
    run_parts();
    round_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace rotor::runtime
