// A ring of the last tokens, and a count for every id: a token costs the same however large the vocabulary
// is.
#include "runtime/engine/penalties.h"

#include <utility>

namespace rotor::runtime {

Penalties::Penalties(const Options& options, int64_t vocab_size)
    : active_(options.last_n != 0 &&
              (options.repeat != 1.0 || options.frequency != 0.0 || options.presence != 0.0)),
      options_(options) {
  if (active_) counts_.resize(static_cast<size_t>(vocab_size));
}

void Penalties::accept(text::TokenId id) {
  if (!active_) return;
  ++counts_[static_cast<size_t>(id)];
  if (options_.last_n < 0 || std::cmp_less(window_.size(), options_.last_n)) {
    window_.push_back(id);
    return;
  }
  --counts_[static_cast<size_t>(window_[next_])];
  window_[next_] = id;
  next_ = (next_ + 1) % window_.size();
}

void Penalties::apply(std::span<float> logits) {
  if (!active_) return;
  for (const text::TokenId id : window_) {
    int32_t& count = counts_[static_cast<size_t>(id)];
    if (count < 0) continue;  // done: the sign marks a token that is in the window more than once
    double logit = logits[static_cast<size_t>(id)];
    logit = logit > 0 ? logit / options_.repeat : logit * options_.repeat;
    logits[static_cast<size_t>(id)] =
        static_cast<float>(logit - (count * options_.frequency + options_.presence));
    count = -count;
  }
  for (const text::TokenId id : window_) {
    int32_t& count = counts_[static_cast<size_t>(id)];
    if (count < 0) count = -count;
  }
}

}  // namespace rotor::runtime
