// Time is counted in rounds of the own loop, not by the clock: a process that was stopped (Ctrl-Z, a sleeping
// laptop) takes nobody for dead when it goes on.
#include "train/distributed/rank_watch.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "rotor/core/error.h"
#include "rotor/tool/main.h"

namespace rotor::train {
namespace {

constexpr double kSuspectSeconds = 3.0;
constexpr double kFarewellSeconds = 3.0;  // that a rank waits for others to see why it ends
constexpr double kGuardSeconds = 0.1;
constexpr double kPollSeconds = 0.05;

constexpr const char* kVerdict = "watch/verdict";
constexpr const char* kVerdicts = "watch/verdicts";
constexpr const char* kSeen = "watch/seen";
constexpr const char* kSuspicion = "watch/suspicion";
constexpr const char* kGoOn =
    "; nothing but the steps since the last checkpoint is lost, go on with --resume";

void sleep_seconds(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

std::string beat_key(int64_t rank) {
  return cat("watch/beat/", rank);
}

}  // namespace

RankWatch::RankWatch(RankShare share, double timeout_seconds, const StoreOptions& store)
    : share_(share),
      timeout_seconds_(timeout_seconds),
      interval_seconds_(std::clamp(timeout_seconds / 40, 0.05, 0.5)),
      where_(cat(store.address, ":", store.port)),
      store_(open_store({store.address, store.port, false, store.timeout})),
      beats_(static_cast<size_t>(share.size), 0),
      silent_rounds_(static_cast<size_t>(share.size), 0) {
  beating_ = std::thread([this] { beat(); });
  guarding_ = std::thread([this] { guard(); });
}

RankWatch::~RankWatch() {
  stopping_ = true;
  beating_.join();
  guarding_.join();
}

void RankWatch::beat() {
  try {
    while (!stopping_) {
      store_->add(beat_key(share_.rank), 1);
      if (const std::lock_guard lock(mutex_); !suspicion_.empty() && !told_suspicion_) {
        store_->add(kSuspicion, 1);
        told_suspicion_ = true;
      }
      if (share_.rank == 0) judge();
      if (store_->check({kVerdict})) end_process(text_of(store_->get(kVerdict)), 1);
      ++rounds_;
      sleep_seconds(interval_seconds_);
    }
  } catch (const std::exception& e) {
    if (stopping_) return;
    end_process(cat("rank 0 (", where_, ") is gone: the connection to it broke", kGoOn), 1);
  }
}

void RankWatch::guard() {
  int64_t rounds = 0;
  double silent_seconds = 0;
  while (!stopping_) {
    sleep_seconds(kGuardSeconds);
    silent_seconds += kGuardSeconds;
    if (rounds_ != rounds) silent_seconds = 0;
    rounds = rounds_;
    if (silent_seconds > timeout_seconds_) {
      end_process(cat("rank 0 (", where_, ") does not answer for ", timeout_seconds_, " s", kGoOn), 1);
    }
  }
}

void RankWatch::judge() {
  const bool suspicious = store_->add(kSuspicion, 0) > 0;
  if (suspicious) ++suspicious_rounds_;
  const double limit = suspicious ? std::min(kSuspectSeconds, timeout_seconds_) : timeout_seconds_;
  std::string gone;
  for (int64_t rank = 1; rank < share_.size; ++rank) {
    const auto i = static_cast<size_t>(rank);
    const int64_t beats = store_->add(beat_key(rank), 0);
    silent_rounds_[i] = beats == beats_[i] ? silent_rounds_[i] + 1 : 0;
    beats_[i] = beats;
    if (static_cast<double>(silent_rounds_[i]) * interval_seconds_ > limit) {
      ++num_gone_;
      gone += cat(gone.empty() ? "" : ", ", rank);
    }
  }
  if (!gone.empty()) {
    publish(cat("rank ", gone, " is gone: no sign of life for ", limit, " s", kGoOn));
  } else if (static_cast<double>(suspicious_rounds_) * interval_seconds_ > timeout_seconds_) {
    publish(cat("a connection between two ranks broke, though all of them live", kGoOn));
  }
}

bool RankWatch::publish(const std::string& verdict) {
  if (store_->add(kVerdicts, 1) != 1) return false;
  store_->set(kVerdict, bytes_of(verdict));
  return true;
}

void RankWatch::say_farewell() {
  try {
    if (share_.rank != 0) {
      store_->add(kSeen, 1);
      return;
    }
    // Rank 0 has the store: it ends last, or the others would only learn that it is gone.
    while (store_->add(kSeen, 0) < share_.size - 1 - num_gone_) sleep_seconds(kPollSeconds);
  } catch (const std::exception&) {  // the store is gone, and with it those to tell
  }
}

void RankWatch::end_process(const std::string& message, int status) {
  if (ending_.exchange(true)) {
    while (true) sleep_seconds(1);  // the other thread is at it
  }
  if (!message.empty()) {
    std::fprintf(stderr, "rotor-train: rank %lld of %lld: %s\n", static_cast<long long>(share_.rank),
                 static_cast<long long>(share_.size), tool::printable(message).c_str());
    std::fflush(stderr);
  }
  // Without a network the store does not answer, and c10d would wait for it for ever.
  std::atomic<bool> done = false;
  std::thread([this, &done] {
    say_farewell();
    done = true;
  }).detach();
  for (double waited = 0; waited < kFarewellSeconds && !done; waited += kPollSeconds) {
    sleep_seconds(kPollSeconds);
  }
  std::_Exit(status);
}

void RankWatch::wait_for_verdict(const std::string& what) {
  {
    const std::lock_guard lock(mutex_);
    suspicion_ = what;
  }
  // Rank 0 decides within the timeout, and guard() notices if rank 0 does not.
  sleep_seconds(2 * timeout_seconds_ + kSuspectSeconds);
  end_process(cat("a connection between ranks broke: ", first_line(what)), 1);
}

void RankWatch::end_all(const std::string& message, int status) {
  std::string said = message;
  try {
    if (!publish(cat("rank ", share_.rank, ": ", message))) {
      // Errors that all ranks meet at once are printed by the first.
      store_->wait({kVerdict}, std::chrono::seconds(1));
      if (text_of(store_->get(kVerdict)).ends_with(": " + message)) said.clear();
    }
  } catch (const std::exception&) {
  }
  end_process(said, status);
}

}  // namespace rotor::train
