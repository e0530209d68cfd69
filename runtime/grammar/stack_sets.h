// Follows a Grammar byte by byte: a pushdown automaton whose stacks are all followed at once, as one set that
// is known by a number. Chosen over Earley's algorithm and over lists of stacks, as llama.cpp has them,
// because equal sets get equal numbers: steps and the masks of tokens that hang on them are computed once,
// and inside a JSON string, say, every character leads back to the same number. Stacks share their lower
// parts and are merged where their tops are equal, so that ambiguous grammars stay small (a graph-structured
// stack, Tomita 1985).
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "runtime/grammar/grammar.h"

namespace rotor::runtime::grammar {

class StackSets {
 public:
  /// Number of a set of stacks. Each stack holds the positions to go on from, the topmost of which takes a
  /// byte; equal sets have equal numbers, until collect().
  using Set = uint32_t;
  static constexpr Set kNone = 0;  ///< no stack: the text is not of the grammar
  static constexpr Set kDone = 1;  ///< the one empty stack: the text is whole, and nothing more can come

  /// `grammar` must outlive this object.
  explicit StackSets(const Grammar& grammar);

  /// From now on, start() and step() throw ConstraintError where more than so much work() comes to that done
  /// so far; this object is of no use then. Until it is called, kMaxStepWork.
  void limit_work(uint64_t more) { work_limit_ = work_ + more; }
  /// Of a byte: only a hostile grammar goes on in so many ways at once.
  static constexpr uint64_t kMaxStepWork = uint64_t{1} << 16;

  /// Before the first byte.
  Set start();
  /// Behind one more byte.
  Set step(Set set, uint8_t byte) {
    const uint32_t row = nodes_[set].row;
    if (row != kUnknown) {
      const Set known = rows_[row * num_classes_ + grammar_.class_of(byte)];
      if (known != kUnknown) return known;
    }
    return compute_step(set, byte);
  }
  /// Whether the text may end here.
  bool complete(Set set) const { return nodes_[set].has_empty; }

  /// Memory that this takes, about.
  size_t num_bytes() const;
  /// How much has been computed since the beginning, in positions looked at.
  uint64_t work() const { return work_; }
  /// Forgets all sets but `roots`, which get new numbers.
  void collect(std::span<Set> roots);

 private:
  static constexpr uint32_t kUnknown = UINT32_MAX;
  /// A position, and the stacks below it.
  struct Edge {
    Position position;
    Set below;
    auto operator<=>(const Edge&) const = default;
  };
  struct Node {
    uint32_t begin = 0;  // edges_[begin, begin + count), sorted by position, each of which comes once
    uint32_t count = 0;
    uint32_t depth = 0;       // of the deepest stack
    uint32_t row = kUnknown;  // of rows_, once a step was made from here
    bool has_empty = false;   // the empty stack is one of them
  };

  std::span<const Edge> edges(Set set) const {
    return std::span(edges_).subspan(nodes_[set].begin, nodes_[set].count);
  }
  Set compute_step(Set set, uint8_t byte);
  /// Adds the stacks that `position` on top of those of `below` leads to without a byte.
  void enter(Position position, Set below);
  Set finish();
  Set unite(Set a, Set b);
  Set intern(std::vector<Edge>& edges, bool has_empty);
  void clear();
  void spend(uint64_t work);

  const Grammar& grammar_;
  size_t num_classes_;
  std::vector<Node> nodes_;
  std::vector<Edge> edges_;
  std::vector<Set> rows_;  // a row: the set behind each class of bytes
  std::unordered_multimap<uint64_t, Set> index_;
  std::unordered_map<uint64_t, Set> united_;
  uint64_t work_ = 0;
  uint64_t work_limit_ = kMaxStepWork;

  // Of the step that is being computed.
  std::vector<Edge> pending_;
  std::unordered_set<uint64_t> seen_;
  std::vector<Edge> found_;
  bool found_empty_ = false;
};

}  // namespace rotor::runtime::grammar
