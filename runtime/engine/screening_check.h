// Holds a screened head (core/screening.h) against the whole one, token by token of a text.
#pragma once

#include <cstdint>
#include <span>

#include "runtime/backends/backend.h"

namespace rotor::runtime {

struct ScreeningCheck {
  int64_t count = 1;   ///< so many of the largest logits are wanted; 1: greedy
  int64_t tokens = 0;  ///< that were looked at
  int64_t misses =
      0;              ///< tokens for which one of the wanted logits, or an equal one, was left out or differs
  int64_t whole = 0;  ///< tokens for which the head had to be read whole
  int64_t rows = 0;   ///< rows of the head that were read, over all tokens

  /// `screened`: as Transformer::screened_head gave them with `rows_read` as its result.
  void add(std::span<const float> all, std::span<const float> screened, int64_t rows_read);
  /// Of the head's rows; 0 to 1.
  double share_read(int64_t vocab_size) const;
};

}  // namespace rotor::runtime
