// Threads that compute one op together. They wait by spinning for a moment, then sleep: ops of a token follow
// one another within microseconds, and waking a thread costs more than that.
#pragma once

#include <sched.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace rotor::runtime {

class ThreadPool {
 public:
  /// `threads`: together with the caller's; 0: one a core. `pin` binds each to a processor of its own, one of
  /// each physical core first; the calling thread is bound, too, until the pool goes, which it should do in
  /// that thread. Throws Error if they cannot be started, or if there are not as many processors.
  explicit ThreadPool(int64_t threads, bool pin = false);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int64_t threads() const { return static_cast<int64_t>(workers_.size()) + 1; }

  /// Calls work(begin, end) for parts that together are 0..count, cut at multiples of `grain`, and returns
  /// when all are done. Parts are large at first and smaller towards the end, and go to whoever is free, so
  /// that threads finish together on cores of unequal speed. Callers in different threads take turns. An
  /// exception of `work` ends the round and reaches the caller.
  template <class Work>
  void parallel_for(int64_t count, int64_t grain, const Work& work) {
    run(count, grain, {&work, [](const void* object, int64_t begin, int64_t end) {
                         (*static_cast<const Work*>(object))(begin, end);
                       }});
  }

 private:
  /// A callable that somebody else keeps: std::function would allocate memory for every op.
  struct WorkRef {
    const void* object = nullptr;
    void (*call)(const void* object, int64_t begin, int64_t end) = nullptr;
    void operator()(int64_t begin, int64_t end) const { call(object, begin, end); }
  };

  static constexpr uint64_t kOpen = uint64_t{1} << 16;
  static constexpr uint64_t kRoundUnit = kOpen << 1;

  void run(int64_t count, int64_t grain, WorkRef work);
  void stop();
  void worker();
  bool join_round(uint64_t& seen);
  void run_parts() noexcept;

  std::vector<std::thread> workers_;
  std::optional<cpu_set_t> callers_processors_;  // of the thread that made a pinned pool, as they were
  std::mutex callers_;                           // held by whoever uses the pool

  WorkRef work_;
  int64_t count_ = 0;
  int64_t grain_ = 1;
  std::atomic<int64_t> next_ = 0;  // the first that nobody has taken yet
  std::exception_ptr error_;       // the first of this round
  std::mutex error_mutex_;
  // Number of the round * kRoundUnit, kOpen while workers may join it, and how many have joined and not left.
  std::atomic<uint64_t> round_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic<int64_t> sleeping_ = 0;
  std::mutex sleep_;
  std::condition_variable wake_;
};

}  // namespace rotor::runtime
