#include "runtime/engine/log_probabilities.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace rotor::runtime {

TokenLogprobs log_probabilities(std::span<const float> logits, text::TokenId id, int64_t count) {
  const double largest = *std::ranges::max_element(logits);
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  const double log_sum = largest + std::log(sum);
  const auto of = [&](text::TokenId token) {
    return static_cast<double>(logits[static_cast<size_t>(token)]) - log_sum;
  };
  std::vector<text::TokenId> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto kept = std::min(static_cast<size_t>(std::max<int64_t>(count, 0)), ids.size());
  std::partial_sort(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(kept), ids.end(),
                    [&](text::TokenId a, text::TokenId b) {
                      const float of_a = logits[static_cast<size_t>(a)];
                      const float of_b = logits[static_cast<size_t>(b)];
                      return of_a != of_b ? of_a > of_b : a < b;
                    });
  TokenLogprobs result{of(id), {}};
  for (size_t i = 0; i < kept; ++i) result.largest.push_back({ids[i], of(ids[i])});
  return result;
}

double entropy(std::span<const float> logits) {
  const double largest = *std::ranges::max_element(logits);
  double sum = 0.0;
  double weighted = 0.0;  // sum of exp(x) x, x being the distance to the largest logit
  for (const float logit : logits) {
    const double distance = static_cast<double>(logit) - largest;
    const double weight = std::exp(distance);
    if (weight == 0.0) continue;  // -inf times 0 is NaN, its limit 0
    sum += weight;
    weighted += weight * distance;
  }
  return std::max(std::log(sum) - weighted / sum, 0.0);
}

}  // namespace rotor::runtime
