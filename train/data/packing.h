// Conversations packed into rows of one length, so that little of a batch is padding: none is cut, and
// attention stays inside each (TransformerImpl::forward's segments).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace rotor::train {

/// Rows of an epoch: which items lie in each, in order.
struct PackedRows {
  std::vector<int64_t> items;   ///< of all rows, one after another
  std::vector<int64_t> starts;  ///< where each row's begin in `items`, and the end

  int64_t count() const { return static_cast<int64_t>(starts.size()) - 1; }
  std::span<const int64_t> row(int64_t index) const;
};

/// Every item once, in an order that depends on seed and epoch alone. Items are taken in a shuffled order;
/// each goes into that of the last rows in which it leaves least room (best fit), a row that is full to the
/// last tokens is closed. Lengths are 1 to `capacity`.
PackedRows pack_rows(std::span<const int32_t> lengths, int64_t capacity, uint64_t seed, int64_t epoch);

}  // namespace rotor::train
