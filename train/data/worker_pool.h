// Threads that work off a queue. Results and exceptions come back through futures, so that whoever waits for
// them in order sees them in order, whatever thread was first.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace rotor::train {

class WorkerPool {
 public:
  /// 0 threads: all cores.
  explicit WorkerPool(int64_t threads);
  /// Waits for what has begun and drops the rest.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  int64_t size() const { return static_cast<int64_t>(threads_.size()); }

  /// Queues `work`, a function of no arguments.
  template <class Work>
  auto submit(Work work) {
    auto task = std::make_shared<std::packaged_task<std::invoke_result_t<Work&>()>>(std::move(work));
    auto result = task->get_future();
    enqueue([task] { (*task)(); });
    return result;
  }

 private:
  void enqueue(std::function<void()> task);
  void run(const std::stop_token& stop);

  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::deque<std::function<void()>> tasks_;
  std::vector<std::jthread> threads_;  // last: they end before what they use
};

}  // namespace rotor::train
