// Sets are hash-consed nodes: an edge for each position on top, pointing to the set of what is below it.
#include "runtime/grammar/stack_sets.h"

#include <algorithm>
#include <functional>

#include "runtime/engine/sampler.h"

namespace rotor::runtime::grammar {
namespace {

uint64_t pair_key(uint32_t a, uint32_t b) {
  return uint64_t{a} << 32 | b;
}

uint64_t mix(uint64_t hash, uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15U;
  return hash ^ hash >> 29;
}

}  // namespace

StackSets::StackSets(const Grammar& grammar) : grammar_(grammar), num_classes_(grammar.num_classes()) {
  clear();
}

void StackSets::clear() {
  nodes_ = {{}, {.has_empty = true}};
  edges_.clear();
  rows_.clear();
  index_.clear();
  united_.clear();
}

void StackSets::spend(uint64_t work) {
  work_ += work;
  if (work_ > work_limit_) {
    throw ConstraintError("grammar: expected one that goes on in few ways at once, found too many to follow");
  }
}

StackSets::Set StackSets::start() {
  enter(grammar_.root(), kDone);
  return finish();
}

StackSets::Set StackSets::compute_step(Set set, uint8_t byte) {
  spend(nodes_[set].count);
  for (uint32_t i = 0; i < nodes_[set].count; ++i) {
    const Edge edge = edges_[nodes_[set].begin + i];
    if (grammar_.bytes(edge.position)[byte]) enter(grammar_.step(edge.position).next, edge.below);
  }
  const Set result = finish();
  if (nodes_[set].row == kUnknown) {
    nodes_[set].row = static_cast<uint32_t>(rows_.size() / num_classes_);
    rows_.resize(rows_.size() + num_classes_, kUnknown);
  }
  rows_[nodes_[set].row * num_classes_ + grammar_.class_of(byte)] = result;
  return result;
}

/// Never goes where the stacks could become too deep to come to an end; by height(), what is left always can.
void StackSets::enter(Position position, Set below) {
  pending_.push_back({position, below});
  while (!pending_.empty()) {
    const Edge edge = pending_.back();
    pending_.pop_back();
    spend(1);
    const uint32_t height = grammar_.height(edge.position);
    if (height == Grammar::kEndless || nodes_[edge.below].depth + height > grammar_.max_depth()) continue;
    if (!seen_.insert(pair_key(edge.position, edge.below)).second) continue;
    const Grammar::Step& step = grammar_.step(edge.position);
    switch (step.kind) {
      case Grammar::Kind::bytes:
        found_.push_back(edge);
        break;
      case Grammar::Kind::split:
        for (const Position target : grammar_.targets(edge.position))
          pending_.push_back({target, edge.below});
        break;
      case Grammar::Kind::call:
        if (step.next == Grammar::kEnd) {
          pending_.push_back({step.argument, edge.below});  // nothing to come back to
        } else {
          std::vector<Edge> one = {{step.next, edge.below}};
          pending_.push_back({step.argument, intern(one, false)});
        }
        break;
      case Grammar::Kind::end:
        found_empty_ |= nodes_[edge.below].has_empty;
        for (const Edge& after : edges(edge.below)) pending_.push_back(after);
        break;
    }
  }
}

StackSets::Set StackSets::finish() {
  const Set result = intern(found_, found_empty_);
  found_.clear();
  found_empty_ = false;
  seen_.clear();
  return result;
}

StackSets::Set StackSets::unite(Set a, Set b) {
  if (a == b) return a;
  if (a > b) std::swap(a, b);
  if (const auto known = united_.find(pair_key(a, b)); known != united_.end()) return known->second;
  const auto of_a = edges(a);
  const auto of_b = edges(b);
  spend(of_a.size() + of_b.size());
  std::vector<Edge> all(of_a.begin(), of_a.end());
  all.insert(all.end(), of_b.begin(), of_b.end());
  const Set result = intern(all, nodes_[a].has_empty || nodes_[b].has_empty);
  united_.emplace(pair_key(a, b), result);
  return result;
}

/// Sorts `edges` and merges those of the same position.
StackSets::Set StackSets::intern(std::vector<Edge>& edges, bool has_empty) {
  if (edges.empty()) return has_empty ? kDone : kNone;
  std::ranges::sort(edges);
  size_t count = 0;
  for (const Edge& edge : edges) {
    if (count > 0 && edges[count - 1].position == edge.position) {
      edges[count - 1].below = unite(edges[count - 1].below, edge.below);
    } else {
      edges[count++] = edge;
    }
  }
  edges.resize(count);
  uint64_t hash = has_empty ? 1 : 2;
  for (const Edge& edge : edges) hash = mix(hash, pair_key(edge.position, edge.below));
  const auto [begin, end] = index_.equal_range(hash);
  for (auto entry = begin; entry != end; ++entry) {
    if (nodes_[entry->second].has_empty == has_empty &&
        std::ranges::equal(this->edges(entry->second), edges)) {
      return entry->second;
    }
  }
  Node node{.begin = static_cast<uint32_t>(edges_.size()),
            .count = static_cast<uint32_t>(count),
            .has_empty = has_empty};
  for (const Edge& edge : edges) node.depth = std::max(node.depth, nodes_[edge.below].depth + 1);
  edges_.insert(edges_.end(), edges.begin(), edges.end());
  nodes_.push_back(node);
  const auto set = static_cast<Set>(nodes_.size() - 1);
  index_.emplace(hash, set);
  return set;
}

/// An entry of a hash table takes about 48 bytes.
size_t StackSets::num_bytes() const {
  return nodes_.size() * (sizeof(Node) + 48) + edges_.size() * sizeof(Edge) + rows_.size() * sizeof(Set) +
         united_.size() * 48;
}

void StackSets::collect(std::span<Set> roots) {
  const uint64_t limit = std::exchange(work_limit_, UINT64_MAX);  // what is moved is bounded by memory
  const std::vector<Node> old_nodes = std::move(nodes_);
  const std::vector<Edge> old_edges = std::move(edges_);
  clear();
  std::unordered_map<Set, Set> moved = {{kNone, kNone}, {kDone, kDone}};
  // What is below was there before: its number is smaller. Stacks are at most max_depth() deep.
  const std::function<Set(Set)> move = [&](Set old) {
    if (const auto known = moved.find(old); known != moved.end()) return known->second;
    const Node& node = old_nodes[old];
    std::vector<Edge> copy;
    for (uint32_t i = 0; i < node.count; ++i) {
      const Edge& edge = old_edges[node.begin + i];
      copy.push_back({edge.position, move(edge.below)});
    }
    const Set result = intern(copy, node.has_empty);
    moved.emplace(old, result);
    return result;
  };
  for (Set& root : roots) root = move(root);
  work_limit_ = limit;
}

}  // namespace rotor::runtime::grammar
