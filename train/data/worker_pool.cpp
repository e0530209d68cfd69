// The queue and its threads.
#include "train/data/worker_pool.h"

#include <algorithm>

namespace rotor::train {

WorkerPool::WorkerPool(int64_t threads) {
  const int64_t cores = std::max<int64_t>(std::thread::hardware_concurrency(), 1);
  for (int64_t i = 0; i < (threads > 0 ? threads : cores); ++i) {
    threads_.emplace_back([this](const std::stop_token& stop) { run(stop); });
  }
}

WorkerPool::~WorkerPool() {
  for (std::jthread& thread : threads_) thread.request_stop();
}

void WorkerPool::enqueue(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  wake_.notify_one();
}

void WorkerPool::run(const std::stop_token& stop) {
  while (true) {
    std::function<void()> task;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, stop, [this] { return !tasks_.empty(); });
      if (stop.stop_requested()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

}  // namespace rotor::train
