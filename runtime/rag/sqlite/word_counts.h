// In how many chunks common words are: FTS5 goes through all of them to count, which takes longer than the
// search.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace rotor::runtime::rag {

/// What was counted in one state of a base. Used by several threads at once.
class WordCounts {
 public:
  /// `count()`, unless it was counted in the state `generation` before.
  int64_t get(int64_t generation, const std::string& word, const auto& count) {
    {
      const std::lock_guard lock(mutex_);
      const auto known = generation == generation_ ? counts_.find(word) : counts_.end();
      if (known != counts_.end()) return known->second;
    }
    const int64_t chunks = count();
    if (chunks < kWorthKeeping) return chunks;
    const std::lock_guard lock(mutex_);
    if (generation > generation_) {
      counts_.clear();
      generation_ = generation;
    }
    if (generation == generation_) counts_[word] = chunks;
    return chunks;
  }

 private:
  static constexpr int64_t kWorthKeeping = 1000;  // chunks; so few words are in so many that all can be kept

  std::mutex mutex_;
  int64_t generation_ = -1;
  std::map<std::string, int64_t> counts_;
};

}  // namespace rotor::runtime::rag
