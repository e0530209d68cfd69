// The stages of sampling. Sums run in double over an order that does not depend on the C++ library.
#include "runtime/engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "rotor/core/error.h"

namespace rotor::runtime {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

bool is_larger(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

float largest_logit(std::span<const Candidate> candidates) {
  float largest = -kInfinity;
  for (const Candidate& c : candidates) largest = std::max(largest, c.logit);
  return largest;
}

double exp_difference(float logit, float largest) {
  return std::exp(static_cast<double>(logit) - static_cast<double>(largest));
}

void check_share(const char* field, double value) {
  if (!(value >= 0.0 && value <= 1.0)) fail(field, ": expected 0 to 1, found ", value);
}

}  // namespace

void SamplerOptions::validate(int64_t vocab_size) const {
  if (!(temperature >= 0.0 && std::isfinite(temperature))) {
    fail("temperature: expected 0 (greedy) or more, found ", temperature);
  }
  if (top_k < 0) fail("top_k: expected 0 (off) or more, found ", top_k);
  check_share("top_p", top_p);
  check_share("min_p", min_p);
  check_share("typical_p", typical_p);
  if (!(repeat_penalty > 0.0 && std::isfinite(repeat_penalty))) {
    fail("repeat_penalty: expected a number above 0, found ", repeat_penalty);
  }
  if (repeat_last_n < -1) {
    fail("repeat_last_n: expected -1 (all tokens), 0 (none) or more, found ", repeat_last_n);
  }
  if (!std::isfinite(frequency_penalty)) {
    fail("frequency_penalty: expected a finite number, found ", frequency_penalty);
  }
  if (!std::isfinite(presence_penalty)) {
    fail("presence_penalty: expected a finite number, found ", presence_penalty);
  }
  for (const auto& [id, bias] : logit_bias) {
    if (id < 0 || id >= vocab_size) {
      fail("logit_bias: expected a token id from 0 to ", vocab_size - 1, ", found ", id);
    }
    if (!(bias < kInfinity)) {
      fail("logit_bias of token ", id, ": expected a finite number or -inf, found ", bias);
    }
  }
}

Sampler::Sampler(SamplerOptions options, int64_t vocab_size)
    : options_((options.validate(vocab_size), std::move(options))),
      vocab_size_(vocab_size),
      penalties_({.repeat = options_.repeat_penalty,
                  .frequency = options_.frequency_penalty,
                  .presence = options_.presence_penalty,
                  .last_n = options_.repeat_last_n},
                 vocab_size),
      random_(options_.seed) {}

void Sampler::accept_prompt(text::TokenId id) {
  if (id < 0 || id >= vocab_size_) fail("token id: expected 0 to ", vocab_size_ - 1, ", found ", id);
  penalties_.accept(id);
}

void Sampler::accept(text::TokenId id) {
  accept_prompt(id);
  if (constraint_) constraint_->accept(id);
}

/// Of the tokens that nothing changes, the `kept` largest behind the changes were among the `kept` + changed
/// largest before; of the changed ones each must be known.
WantedLogits Sampler::wanted() {
  const int64_t kept = options_.temperature == 0.0 ? 1 : options_.top_k;
  if (kept == 0 || constraint_) return {};
  changed_.assign(penalties_.window().begin(), penalties_.window().end());
  for (const auto& [id, bias] : options_.logit_bias) changed_.push_back(id);
  std::ranges::sort(changed_);
  changed_.erase(std::ranges::unique(changed_).begin(), changed_.end());
  const int64_t count = kept + static_cast<int64_t>(changed_.size());
  if (count >= vocab_size_) return {};
  return {count, changed_, vocab_size_};
}

/// adjusted_ = logits behind bias and penalties, at least one of them above -inf.
void Sampler::adjust(std::span<const float> logits) {
  if (std::cmp_not_equal(logits.size(), vocab_size_)) {
    fail("sampling: expected ", vocab_size_, " logits, found ", logits.size());
  }
  adjusted_.assign(logits.begin(), logits.end());
  for (const auto& [id, bias] : options_.logit_bias) adjusted_[static_cast<size_t>(id)] += bias;
  penalties_.apply(adjusted_);
  float largest = -kInfinity;
  bool valid = true;
  for (const float logit : adjusted_) {
    valid &= logit < kInfinity;  // false for NaN
    largest = logit > largest ? logit : largest;
  }
  if (!valid) {
    const auto bad =
        std::find_if(adjusted_.begin(), adjusted_.end(), [](float l) { return !(l < kInfinity); });
    fail("sampling: the logit of token ", bad - adjusted_.begin(), " is ", *bad);
  }
  if (largest == -kInfinity) fail("sampling: every token is banned: all logits are -inf");
}

void Sampler::keep_all() {
  candidates_.clear();
  for (size_t id = 0; id < adjusted_.size(); ++id) {
    if (adjusted_[id] > -kInfinity)
      candidates_.push_back({static_cast<text::TokenId>(id), adjusted_[id], 0.0});
  }
}

/// Collects what exceeds the `count`-th largest so far, and cuts back to `count` whenever twice as many came
/// together: one pass over the vocabulary, nearly all of which is a comparison that fails.
void Sampler::keep_top_k(size_t count) {
  const auto cut = [&] {
    std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(count - 1),
                     candidates_.end(), is_larger);
    candidates_.resize(count);
  };
  candidates_.clear();
  float threshold = -kInfinity;
  for (size_t id = 0; id < adjusted_.size(); ++id) {
    if (!(adjusted_[id] > threshold)) continue;  // an equal one would come behind those that are here
    candidates_.push_back({static_cast<text::TokenId>(id), adjusted_[id], 0.0});
    if (candidates_.size() < 2 * count) continue;
    cut();
    threshold = candidates_.back().logit;
  }
  if (candidates_.size() > count) cut();
  std::sort(candidates_.begin(), candidates_.end(), is_larger);
}

void Sampler::keep_typical() {
  // -log p - entropy = center - logit, so what is typical is close to `center`.
  const float largest = largest_logit(candidates_);
  double sum = 0.0;
  double weighted = 0.0;
  for (const Candidate& c : candidates_) {
    const double weight = exp_difference(c.logit, largest);
    sum += weight;
    if (weight > 0) weighted += weight * (static_cast<double>(c.logit) - static_cast<double>(largest));
  }
  const double center = static_cast<double>(largest) + weighted / sum;
  const auto distance = [&](const Candidate& c) { return std::fabs(static_cast<double>(c.logit) - center); };
  std::sort(candidates_.begin(), candidates_.end(), [&](const Candidate& a, const Candidate& b) {
    const double of_a = distance(a);
    const double of_b = distance(b);
    return of_a != of_b ? of_a < of_b : a.id < b.id;
  });
  double kept = 0.0;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    kept += exp_difference(candidates_[i].logit, largest);
    if (kept > options_.typical_p * sum) {
      candidates_.resize(i + 1);
      break;
    }
  }
}

/// Sorts only as far as needed: the largest 256, then four times as many, and so on.
void Sampler::keep_top_p() {
  const float largest = largest_logit(candidates_);
  double sum = 0.0;
  for (const Candidate& c : candidates_) sum += exp_difference(c.logit, largest);
  const auto at = [&](size_t index) { return candidates_.begin() + static_cast<std::ptrdiff_t>(index); };
  double kept = 0.0;
  size_t sorted = 0;
  for (size_t i = 0; i < candidates_.size(); ++i) {
    if (i == sorted) {
      const size_t next = std::min(candidates_.size(), std::max<size_t>(256, 4 * sorted));
      if (next < candidates_.size()) std::nth_element(at(sorted), at(next), candidates_.end(), is_larger);
      std::sort(at(sorted), at(next), is_larger);
      sorted = next;
    }
    kept += exp_difference(candidates_[i].logit, largest);
    if (kept >= options_.top_p * sum) {
      candidates_.resize(i + 1);
      return;
    }
  }
}

void Sampler::keep_min_p() {
  const double threshold = static_cast<double>(largest_logit(candidates_)) + std::log(options_.min_p);
  std::erase_if(candidates_, [&](const Candidate& c) { return static_cast<double>(c.logit) < threshold; });
}

void Sampler::set_probabilities() {
  const float largest = largest_logit(candidates_);
  double sum = 0.0;
  for (Candidate& c : candidates_) {
    const double difference = static_cast<double>(c.logit) - static_cast<double>(largest);
    c.probability = std::exp(difference / options_.temperature);
    sum += c.probability;
  }
  for (Candidate& c : candidates_) c.probability /= sum;
}

std::span<const Candidate> Sampler::candidates(std::span<const float> logits) {
  adjust(logits);
  if (constraint_) restrict();
  return choose();
}

void Sampler::restrict() {
  constraint_->restrict(adjusted_);
  if (std::ranges::all_of(adjusted_, [](float logit) { return logit == -kInfinity; })) {
    fail("sampling: every token that may come next is banned by a logit bias");
  }
}

/// Whether the stages in front of the temperature are off.
bool Sampler::keeps_all() const {
  const bool has_top_k = options_.top_k > 0 && options_.top_k < vocab_size_;
  return !has_top_k && options_.typical_p >= 1.0 && options_.top_p >= 1.0 && options_.min_p == 0.0;
}

std::span<const Candidate> Sampler::choose() {
  if (options_.temperature == 0.0) {
    const auto largest = std::max_element(adjusted_.begin(), adjusted_.end());
    candidates_.assign(1, {static_cast<text::TokenId>(largest - adjusted_.begin()), *largest, 1.0});
    return candidates_;
  }
  if (options_.top_k > 0 && options_.top_k < vocab_size_) {
    keep_top_k(static_cast<size_t>(options_.top_k));
  } else {
    keep_all();
  }
  if (options_.typical_p < 1.0) keep_typical();
  if (options_.top_p < 1.0) keep_top_p();
  if (options_.min_p > 0.0) keep_min_p();
  set_probabilities();
  return candidates_;
}

/// 0 <= u < 1 in steps of 2^-53. Not std::uniform_real_distribution: libraries differ in how they draw.
double Sampler::uniform() {
  return static_cast<double>(random_() >> 11) * 0x1p-53;
}

text::TokenId Sampler::draw(std::span<const Candidate> candidates) {
  if (candidates.size() == 1) return candidates[0].id;
  const double target = uniform();
  double sum = 0.0;
  text::TokenId chosen = candidates[0].id;
  for (const Candidate& c : candidates) {
    if (c.probability == 0.0) continue;
    chosen = c.id;  // also when the sum stays a rounding below the target to the end
    sum += c.probability;
    if (target < sum) break;
  }
  return chosen;
}

/// Asking a constraint about all tokens is dear, about some of them cheap, and what is drawn is mostly
/// allowed. So the tokens are drawn as without it, where that leads to the same distribution as restricting
/// first:
/// - Where the stages keep all tokens, an allowed token t comes with p(t) at once, and with p(t) / p(allowed)
///   after a refusal, in all p(t) (1 + (1 - p(allowed)) / p(allowed)) = p(t) / p(allowed), as it must.
/// - The largest logit, if it is allowed, is the largest allowed one.
/// - The k largest logits, if all are allowed, are the k largest allowed ones, and the stages behind see no
///   others.
/// In all other cases the constraint comes first: what top-p or min-p keep depends on what they are given.
text::TokenId Sampler::sample(std::span<const float> logits) {
  if (!constraint_) return draw(candidates(logits));
  adjust(logits);
  const auto allowed = [&](const Candidate& c) { return constraint_->allows(c.id); };
  if (options_.temperature == 0.0 || keeps_all()) {
    const text::TokenId id = draw(choose());
    if (constraint_->allows(id)) return id;
  } else if (options_.top_k > 0 && options_.top_k < vocab_size_) {
    keep_top_k(static_cast<size_t>(options_.top_k));
    if (std::ranges::all_of(candidates_, allowed)) return draw(choose());
  }
  restrict();
  return draw(choose());
}

}  // namespace rotor::runtime
