// Searches on threads of their own: whoever wants a result waits for it no longer than it cares to, though a
// search itself, in a library or on its way to another machine, may not be stopped.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/rag/search.h"

namespace rotor::runtime::retrieval {

/// Thread-safe.
class SearchThreads {
 public:
  using Search = std::function<std::vector<rag::Found>()>;

  /// `queue`: searches that may wait.
  SearchThreads(int64_t threads, int64_t queue);
  /// Waits for the searches that run.
  ~SearchThreads();
  SearchThreads(const SearchThreads&) = delete;
  SearchThreads& operator=(const SearchThreads&) = delete;

  /// What `search` returns or throws. Throws Error if too many wait, if the time is over or if `keep_going`
  /// says false (it may be empty); `search` then still runs to its end, so it must own all that it uses.
  std::vector<rag::Found> run(Search search, std::chrono::milliseconds timeout,
                              const std::function<bool()>& keep_going);

 private:
  using Task = std::packaged_task<std::vector<rag::Found>()>;
  void work();

  const size_t queue_;
  std::mutex mutex_;
  std::condition_variable came_;
  std::deque<Task> waiting_;
  bool ended_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace rotor::runtime::retrieval
