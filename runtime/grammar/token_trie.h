// The tokens of a vocabulary by their bytes, as a tree that a grammar can be followed along: a beginning that
// cannot be drops all tokens that share it. Made once a model; immutable, and shared between threads.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "rotor/text/tokenizer.h"

namespace rotor::runtime::grammar {

class TokenTrie {
 public:
  /// Control tokens, and tokens without bytes, are not in it. The bytes are those of tokens that continue a
  /// text (Tokenizer::token_bytes with first = false).
  explicit TokenTrie(const text::Tokenizer& tokenizer);
  /// Token `id` is tokens[id]; those that are empty are not in it.
  explicit TokenTrie(const std::vector<std::string>& tokens);

  /// A beginning of tokens. Those that are longer by one byte and more follow it in nodes(), up to `end`.
  struct Node {
    uint32_t end;           ///< index of the first node that does not go on from this one
    uint32_t tokens_begin;  ///< in tokens(); its end is the next node's
    uint16_t depth;         ///< bytes in front of this one
    uint8_t byte;           ///< the last one
  };
  /// In order of depth-first search, and one behind them that only ends the last one's tokens.
  std::span<const Node> nodes() const { return nodes_; }
  /// In the order of nodes().
  std::span<const text::TokenId> tokens() const { return tokens_; }
  size_t longest_token() const { return longest_; }

  int64_t vocab_size() const { return static_cast<int64_t>(offsets_.size()) - 1; }
  /// Empty if it is not in the tree.
  std::string_view bytes(text::TokenId id) const {
    const auto index = static_cast<size_t>(id);
    return std::string_view(bytes_).substr(offsets_[index], offsets_[index + 1] - offsets_[index]);
  }

 private:
  void build(const std::vector<std::string>& tokens);

  std::string bytes_;
  std::vector<uint32_t> offsets_;  // [vocab_size + 1]
  std::vector<Node> nodes_;
  std::vector<text::TokenId> tokens_;
  size_t longest_ = 0;
};

}  // namespace rotor::runtime::grammar
