// Exact: a wanted logit counts as found only if it is the same float.
#include "runtime/engine/screening_check.h"

#include <algorithm>
#include <functional>
#include <vector>

namespace rotor::runtime {

void ScreeningCheck::add(std::span<const float> all, std::span<const float> screened, int64_t rows_read) {
  ++tokens;
  if (rows_read == 0) {
    ++whole;
    rows += static_cast<int64_t>(all.size());
    return;
  }
  rows += rows_read;
  std::vector<float> sorted(all.begin(), all.end());
  const auto last = sorted.begin() + static_cast<std::ptrdiff_t>(count - 1);
  std::nth_element(sorted.begin(), last, sorted.end(), std::greater<>());
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i] >= *last && all[i] != screened[i]) {
      ++misses;
      return;
    }
  }
}

double ScreeningCheck::share_read(int64_t vocab_size) const {
  return tokens == 0 ? 1.0 : static_cast<double>(rows) / static_cast<double>(tokens * vocab_size);
}

}  // namespace rotor::runtime
