// Tells when training has gone wrong, so that it stops while its last checkpoint is still good.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

namespace rotor::train {

class Divergence {
 public:
  /// `classes`: what is guessed among. Guessing at random has a loss of ln(classes).
  explicit Divergence(int64_t classes = 2) : limit_(2.0 * std::log(static_cast<double>(classes)) + 1.0) {}

  /// Why training should stop, if it should: loss or gradient norm is not finite, or the loss was above twice
  /// that of guessing at random for kPatience steps in a row after having been below it.
  std::optional<std::string> check(double loss, double gradient_norm) {
    if (!std::isfinite(loss) || !std::isfinite(gradient_norm)) {
      return "loss " + std::to_string(loss) + ", gradient norm " + std::to_string(gradient_norm);
    }
    was_below_ |= loss <= limit_;
    above_ = loss > limit_ && was_below_ ? above_ + 1 : 0;
    if (above_ < kPatience) return std::nullopt;
    return "the loss has been above " + std::to_string(limit_) + ", twice that of guessing, for " +
           std::to_string(above_) + " steps; now it is " + std::to_string(loss);
  }

  /// To and from a checkpoint: a resumed run stops where the unbroken one does.
  std::pair<bool, int64_t> state() const { return {was_below_, above_}; }
  void restore(std::pair<bool, int64_t> state) { std::tie(was_below_, above_) = state; }

 private:
  static constexpr int64_t kPatience = 100;
  double limit_;
  bool was_below_ = false;
  int64_t above_ = 0;
};

}  // namespace rotor::train
