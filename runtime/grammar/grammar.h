// A grammar over bytes, ready to be followed: a context-free grammar as a network of positions. It is what
// GBNF texts (gbnf.h) and JSON schemas (json_schema.h) become; stack_sets.h follows it. Immutable, and shared
// between threads.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/grammar/work_budget.h"

namespace rotor::runtime::grammar {

using ByteSet = std::bitset<256>;

/// A place in the network.
using Position = uint32_t;

/// What every grammar keeps, so that a hostile one takes bounded memory and time.
inline constexpr size_t kMaxPositions = 100000;
inline constexpr size_t kMaxExpressions = 200000;
inline constexpr size_t kMaxExpressionDepth = 5000;  ///< parts inside one another: the builder recurses
inline constexpr int64_t kMaxRepetitions = 100000;   ///< in {m,n}

class Grammar {
 public:
  enum class Kind : uint8_t {
    bytes,  ///< goes on at `next` with one byte of set `argument`
    call,   ///< the rule that begins at position `argument`, then `next`
    split,  ///< any of targets(), without a byte
    end     ///< of a rule; there is one, kEnd
  };
  struct Step {
    Kind kind;
    uint32_t argument;
    Position next;
  };
  static constexpr Position kEnd = 0;

  Position root() const { return root_; }
  size_t num_positions() const { return steps_.size(); }
  const Step& step(Position position) const { return steps_[position]; }
  std::span<const Position> targets(Position split) const {
    return std::span(targets_).subspan(steps_[split].argument, steps_[split].next);
  }
  const ByteSet& bytes(Position position) const { return sets_[steps_[position].argument]; }
  /// How many calls deep one must go from here to come to an end; kEndless if there is no end.
  uint32_t height(Position position) const { return heights_[position]; }
  static constexpr uint32_t kEndless = UINT32_MAX;
  /// Calls that may be open at once. Where one more would be needed, the grammar goes another way.
  uint32_t max_depth() const { return max_depth_; }

  /// Bytes that no set tells apart are of one class, 0 to num_classes() - 1.
  size_t num_classes() const { return num_classes_; }
  uint8_t class_of(uint8_t byte) const { return class_of_[byte]; }

  /// Whether `text` is a whole text of this grammar.
  bool matches(std::string_view text) const;
  /// The same; what it takes is spent from `budget`, which throws Error where it does not suffice.
  bool matches(std::string_view text, WorkBudget& budget) const;

 private:
  friend class GrammarBuilder;
  Grammar() = default;

  Position root_ = kEnd;
  uint32_t max_depth_ = 0;
  std::vector<Step> steps_;
  std::vector<Position> targets_;  // of all splits, one after another
  std::vector<ByteSet> sets_;
  std::vector<uint32_t> heights_;  // [num_positions]
  std::array<uint8_t, 256> class_of_{};
  size_t num_classes_ = 1;
};

}  // namespace rotor::runtime::grammar
