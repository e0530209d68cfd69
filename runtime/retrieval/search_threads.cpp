#include "runtime/retrieval/search_threads.h"

#include <atomic>
#include <memory>

#include "rotor/core/error.h"

namespace rotor::runtime::retrieval {

using Clock = std::chrono::steady_clock;

SearchThreads::SearchThreads(int64_t threads, int64_t queue) : queue_(static_cast<size_t>(queue)) {
  for (int64_t i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

SearchThreads::~SearchThreads() {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    waiting_.clear();
  }
  came_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void SearchThreads::work() {
  for (;;) {
    Task task;
    {
      std::unique_lock lock(mutex_);
      came_.wait(lock, [&] { return ended_ || !waiting_.empty(); });
      if (ended_) return;
      task = std::move(waiting_.front());
      waiting_.pop_front();
    }
    task();
  }
}

std::vector<rag::Found> SearchThreads::run(Search search, std::chrono::milliseconds timeout,
                                           const std::function<bool()>& keep_going) {
  constexpr std::chrono::milliseconds kPatience{50};
  // A search that nobody waits for any more is not begun.
  const auto is_wanted = std::make_shared<std::atomic<bool>>(true);
  Task task(
      [search = std::move(search), is_wanted] { return *is_wanted ? search() : std::vector<rag::Found>(); });
  std::future<std::vector<rag::Found>> result = task.get_future();
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.size() >= queue_) fail("too many searches wait");
    waiting_.push_back(std::move(task));
  }
  came_.notify_one();
  const auto deadline = Clock::now() + timeout;
  while (result.wait_for(kPatience) != std::future_status::ready) {
    const bool goes_on = !keep_going || keep_going();
    if (goes_on && Clock::now() < deadline) continue;
    *is_wanted = false;
    if (!goes_on) fail("the search was given up");
    fail("the search took longer than ", static_cast<double>(timeout.count()) / 1e3, " s");
  }
  return result.get();
}

}  // namespace rotor::runtime::retrieval
