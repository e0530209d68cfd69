// A bound of the work that one request's schema may cost. Whatever walks, copies or compares spends from the
// same budget, so that no combination of harmless parts adds up to a thread that is never heard of again. It
// counts, and looks at no clock: what is refused is refused on every machine.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "rotor/core/error.h"

namespace rotor::runtime::grammar {

class WorkBudget {
 public:
  /// `source` names what the work is for in errors; `work` is in bytes looked at, about.
  WorkBudget(std::string source, uint64_t work) : source_(std::move(source)), total_(work), left_(work) {}

  /// Throws Error once the sum is above the budget, and whenever it is called from then on.
  void spend(uint64_t work) {
    is_spent_ |= work > left_;
    left_ -= std::min(work, left_);
    if (is_spent_) fail(source_, ": expected one that takes at most ", total_, " steps of work, found more");
  }
  bool is_spent() const { return is_spent_; }

 private:
  std::string source_;
  uint64_t total_;
  uint64_t left_;
  bool is_spent_ = false;
};

}  // namespace rotor::runtime::grammar
