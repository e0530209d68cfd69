// Best fit over a bounded number of open rows: neighbours in the shuffled order stay near each other.
#include "train/data/packing.h"

#include <algorithm>
#include <limits>

#include "train/data/window_order.h"

namespace rotor::train {
namespace {

constexpr size_t kOpenRows = 64;

struct OpenRow {
  std::vector<int64_t> items;
  int64_t room = 0;
};

void close_row(OpenRow& row, PackedRows& packed) {
  packed.items.insert(packed.items.end(), row.items.begin(), row.items.end());
  packed.starts.push_back(static_cast<int64_t>(packed.items.size()));
}

}  // namespace

std::span<const int64_t> PackedRows::row(int64_t index) const {
  const auto first = static_cast<size_t>(starts[static_cast<size_t>(index)]);
  const auto end = static_cast<size_t>(starts[static_cast<size_t>(index) + 1]);
  return std::span(items).subspan(first, end - first);
}

PackedRows pack_rows(std::span<const int32_t> lengths, int64_t capacity, uint64_t seed, int64_t epoch) {
  const auto count = static_cast<int64_t>(lengths.size());
  const int64_t shortest = lengths.empty() ? 0 : *std::ranges::min_element(lengths);
  PackedRows packed;
  packed.starts.push_back(0);
  std::vector<OpenRow> open;  // the oldest first
  for (int64_t i = 0; i < count; ++i) {
    const int64_t item = shuffled_index(seed, epoch, i, count);
    const int64_t length = lengths[static_cast<size_t>(item)];
    auto best = open.end();
    int64_t least = std::numeric_limits<int64_t>::max();
    for (auto row = open.begin(); row != open.end(); ++row) {
      if (row->room >= length && row->room < least) {
        best = row;
        least = row->room;
      }
    }
    if (best == open.end()) {
      if (open.size() == kOpenRows) {
        close_row(open.front(), packed);
        open.erase(open.begin());
      }
      best = open.insert(open.end(), OpenRow{{}, capacity});
    }
    best->items.push_back(item);
    best->room -= length;
    if (best->room < shortest) {
      close_row(*best, packed);
      open.erase(best);
    }
  }
  for (OpenRow& row : open) close_row(row, packed);
  return packed;
}

}  // namespace rotor::train
