// Looks after the other ranks while the main thread computes: each rank beats in the store, rank 0 judges who
// has fallen silent, and what one rank reports ends all. It runs on threads and a connection of its own.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "train/distributed/c10d.h"
#include "train/distributed/rank_share.h"

namespace rotor::train {

class RankWatch {
 public:
  /// Starts. `store`: how to reach the store, which is there. A rank is gone after `timeout_seconds` of
  /// silence, or after kSuspectSeconds when a connection to some rank broke.
  RankWatch(RankShare share, double timeout_seconds, const StoreOptions& store);
  /// Stops; who has gone from then on is not noticed.
  ~RankWatch();
  RankWatch(const RankWatch&) = delete;
  RankWatch& operator=(const RankWatch&) = delete;

  /// A collective failed with the message `what`: some rank is gone or about to say why. Waits for the end of
  /// this process, whose message names the rank.
  [[noreturn]] void wait_for_verdict(const std::string& what);
  /// Ends all ranks with "rank N: `message`", and this process with `message` and `status`.
  [[noreturn]] void end_all(const std::string& message, int status);

 private:
  void beat();
  void guard();
  /// On rank 0: who is silent for too long?
  void judge();
  /// Makes `verdict` what all ranks end with, unless there is one already. Whether it did.
  bool publish(const std::string& verdict);
  /// Tells rank 0 that the verdict was seen; on rank 0, waits until all have told.
  void say_farewell();
  /// Prints `message`, lets the others see the verdict, and ends the process. The first caller prevails.
  [[noreturn]] void end_process(const std::string& message, int status);

  RankShare share_;
  double timeout_seconds_;
  double interval_seconds_;
  std::string where_;  // the store, for people
  c10::intrusive_ptr<c10d::Store> store_;

  std::vector<int64_t> beats_;          // of each rank, as last seen by rank 0
  std::vector<int64_t> silent_rounds_;  // since then
  int64_t suspicious_rounds_ = 0;
  std::atomic<int64_t> num_gone_ = 0;  // ranks that rank 0 need not wait for

  std::mutex mutex_;
  std::string suspicion_;  // what broke; guarded by mutex_
  bool told_suspicion_ = false;
  std::atomic<int64_t> rounds_ = 0;  // of beat(), for guard()
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> ending_ = false;
  std::thread beating_;
  std::thread guarding_;
};

}  // namespace rotor::train
