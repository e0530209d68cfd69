// How many bytes of request bodies the server holds at once, all connections together: without a bound,
// clients that send large bodies slowly take a body's limit of memory each. Heads, which are small, and what
// handlers make of a body are not counted.
#pragma once

#include <atomic>
#include <cstddef>

namespace rotor::runtime::server {

/// Shared by all requests; from many threads.
class BodyBudget {
 public:
  explicit BodyBudget(size_t bytes) : left_(bytes) {}
  BodyBudget(const BodyBudget&) = delete;
  BodyBudget& operator=(const BodyBudget&) = delete;

  /// False, and nothing is taken, if less than that is left.
  bool take(size_t bytes) {
    size_t left = left_;
    while (left >= bytes) {
      if (left_.compare_exchange_weak(left, left - bytes)) return true;
    }
    return false;
  }
  void give_back(size_t bytes) { left_ += bytes; }

 private:
  std::atomic<size_t> left_;
};

/// What one request's body takes of the budget, as its bytes come; given back at the end of its life.
class BodyShare {
 public:
  enum class Result { ok, too_large, none_left };

  /// `limit`: bytes that one body may have. `budget` outlives this object.
  BodyShare(BodyBudget& budget, size_t limit) : budget_(budget), limit_(limit) {}
  ~BodyShare() { release(); }
  BodyShare(const BodyShare&) = delete;
  BodyShare& operator=(const BodyShare&) = delete;

  /// `bytes` more have come. Whether they may be kept; after one that may not, none may.
  Result add(size_t bytes) {
    if (result_ != Result::ok) return result_;
    if (bytes > limit_ - taken_) return result_ = Result::too_large;
    if (!budget_.take(bytes)) return result_ = Result::none_left;
    taken_ += bytes;
    return Result::ok;
  }
  Result result() const { return result_; }
  void release() {
    budget_.give_back(taken_);
    taken_ = 0;
  }

 private:
  BodyBudget& budget_;
  const size_t limit_;
  size_t taken_ = 0;
  Result result_ = Result::ok;
};

}  // namespace rotor::runtime::server
