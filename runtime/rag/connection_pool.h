// Connections of a store that are not used, kept for the next who needs one.
#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace rotor::runtime::rag {

/// Used by several threads at once.
template <class Connection>
class ConnectionPool {
 public:
  /// One that is kept, else a new one, made of `arguments`.
  template <class... Arguments>
  std::unique_ptr<Connection> take(const Arguments&... arguments) {
    {
      const std::lock_guard lock(mutex_);
      if (!kept_.empty()) {
        auto connection = std::move(kept_.back());
        kept_.pop_back();
        return connection;
      }
    }
    return std::make_unique<Connection>(arguments...);
  }
  void give_back(std::unique_ptr<Connection> connection) {
    const std::lock_guard lock(mutex_);
    if (kept_.size() < kMostKept) kept_.push_back(std::move(connection));
  }
  void clear() {
    const std::lock_guard lock(mutex_);
    kept_.clear();
  }

 private:
  static constexpr size_t kMostKept = 8;

  std::mutex mutex_;
  std::vector<std::unique_ptr<Connection>> kept_;
};

}  // namespace rotor::runtime::rag
