// A set of byte strings in a double-array trie (Aoe 1989): one step a byte, one memory access a step.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace rotor::text {

class PieceTrie {
 public:
  static constexpr uint32_t kRoot = 0;
  static constexpr uint32_t kNone = 0xFFFFFFFF;

  /// Keys are not empty and differ; values are at least 0.
  explicit PieceTrie(std::vector<std::pair<std::string_view, int32_t>> keys);

  /// The node that `byte` leads to; kNone if no key goes on so.
  uint32_t child(uint32_t node, uint8_t byte) const {
    const uint32_t next = nodes_[node].base + byte;
    return nodes_[next].parent == node ? next : kNone;
  }
  /// The value of the key that ends here; -1 if none does.
  int32_t value(uint32_t node) const { return nodes_[node].value; }

  /// Length of the longest key that `text` starts with; 0 if there is none.
  size_t longest_prefix(std::string_view text) const;

 private:
  struct Node {
    uint32_t base = 0;        // children are at base + byte
    uint32_t parent = kNone;  // of a node in use
    int32_t value = -1;
  };

  uint32_t find_base(std::span<const uint8_t> labels);

  std::vector<Node> nodes_;
  uint32_t first_free_ = 1;
};

}  // namespace rotor::text
