// Children are placed at the first base where all of them find free nodes.
#include "rotor/text/piece_trie.h"

#include <algorithm>

namespace rotor::text {
namespace {

constexpr size_t kBytes = 256;
constexpr uint32_t kMaxSteps = 512;  // of looking for a base before new nodes are taken

}  // namespace

PieceTrie::PieceTrie(std::vector<std::pair<std::string_view, int32_t>> keys) : nodes_(2 * kBytes) {
  std::sort(keys.begin(), keys.end());
  struct Range {
    uint32_t node;
    size_t begin, end, depth;
  };
  std::vector<Range> ranges = {{kRoot, 0, keys.size(), 0}};
  std::vector<uint8_t> labels;
  std::vector<size_t> begins;
  while (!ranges.empty()) {
    const Range range = ranges.back();
    ranges.pop_back();
    labels.clear();
    begins.clear();
    for (size_t i = range.begin; i < range.end; ++i) {
      if (keys[i].first.size() == range.depth) {
        nodes_[range.node].value = keys[i].second;
        continue;
      }
      const auto byte = static_cast<uint8_t>(keys[i].first[range.depth]);
      if (!labels.empty() && labels.back() == byte) continue;
      labels.push_back(byte);
      begins.push_back(i);
    }
    if (labels.empty()) continue;
    const uint32_t base = find_base(labels);
    nodes_[range.node].base = base;
    for (size_t k = 0; k < labels.size(); ++k) {
      nodes_[base + labels[k]].parent = range.node;
      ranges.push_back(
          {base + labels[k], begins[k], k + 1 < labels.size() ? begins[k + 1] : range.end, range.depth + 1});
    }
  }
}

uint32_t PieceTrie::find_base(std::span<const uint8_t> labels) {
  const auto is_free = [&](uint32_t node) { return node >= nodes_.size() || nodes_[node].parent == kNone; };
  while (!is_free(first_free_)) ++first_free_;
  uint32_t place = std::max<uint32_t>(first_free_, labels[0] + 1U);
  const auto fits = [&] {
    return std::all_of(labels.begin(), labels.end(),
                       [&](uint8_t label) { return is_free(place - labels[0] + label); });
  };
  for (uint32_t steps = 0; !fits(); ++place) {
    if (++steps == kMaxSteps) first_free_ = place;  // what is left free before is not worth another look
  }
  const uint32_t base = place - labels[0];
  // child() may look at any of the 256 places, whatever they hold.
  if (nodes_.size() < size_t{base} + kBytes)
    nodes_.resize(std::max<size_t>(base + kBytes, nodes_.size() * 3 / 2));
  return base;
}

size_t PieceTrie::longest_prefix(std::string_view text) const {
  size_t longest = 0;
  uint32_t node = kRoot;
  for (size_t i = 0; i < text.size(); ++i) {
    node = child(node, static_cast<uint8_t>(text[i]));
    if (node == kNone) break;
    if (value(node) >= 0) longest = i + 1;
  }
  return longest;
}

}  // namespace rotor::text
