// The second half of GrammarBuilder: from expressions to the network of positions, made backward, each part
// in front of what follows it. Then come the checks for which the whole network is needed.
#include <algorithm>

#include "rotor/core/error.h"
#include "runtime/grammar/grammar_builder.h"
#include "runtime/grammar/stack_sets.h"

namespace rotor::runtime::grammar {

/// The same step is the same position: what is shared is made and followed once.
Position GrammarBuilder::add_step(const Grammar::Step& step) {
  const auto key = std::pair(uint64_t{step.argument} << 2 | static_cast<uint64_t>(step.kind), step.next);
  if (step.kind != Grammar::Kind::split) {
    if (const auto found = steps_.find(key); found != steps_.end()) return found->second;
  }
  if (grammar_.steps_.size() >= kMaxPositions) {
    fail(source_, ": expected a grammar of at most ", kMaxPositions, " positions, found more");
  }
  const auto position = static_cast<Position>(grammar_.steps_.size());
  grammar_.steps_.push_back(step);
  if (step.kind != Grammar::Kind::split) steps_.emplace(key, position);
  return position;
}

Position GrammarBuilder::add_split(std::vector<Position> targets) {
  std::ranges::sort(targets);
  targets.erase(std::unique(targets.begin(), targets.end()), targets.end());
  if (targets.size() == 1) return targets[0];
  const auto begin = static_cast<uint32_t>(grammar_.targets_.size());
  grammar_.targets_.insert(grammar_.targets_.end(), targets.begin(), targets.end());
  return add_step({Grammar::Kind::split, begin, static_cast<Position>(targets.size())});
}

Position GrammarBuilder::compile(Expression expression, Position next) {
  if (expression == kNothing) return next;
  const uint64_t key = uint64_t{expression} << 32 | next;
  if (const auto found = compiled_.find(key); found != compiled_.end()) return found->second;
  const Position position = compile_new(expression, next);
  compiled_.emplace(key, position);
  return position;
}

Position GrammarBuilder::compile_new(Expression expression, Position next) {
  const Node& node = nodes_[expression];
  switch (node.kind) {
    case Kind::nothing:
      return next;
    case Kind::byte:
      return add_step({Grammar::Kind::bytes, node.value, next});
    case Kind::sequence:
      for (size_t i = node.parts.size(); i-- > 0;) next = compile(node.parts[i], next);
      return next;
    case Kind::choice: {
      std::vector<Position> targets;
      for (const Expression part : node.parts) targets.push_back(compile(part, next));
      return add_split(std::move(targets));
    }
    case Kind::repeat:
      return compile_repeat(node, next);
    case Kind::call:
      if (rules_[node.value].start == UINT32_MAX) {
        rules_[node.value].start = 0;  // set when its turn comes
        called_.push_back(node.value);
      }
      return add_step({Grammar::Kind::call, node.value, next});
  }
  return next;
}

Position GrammarBuilder::compile_repeat(const Node& node, Position next) {
  const Expression part = node.parts[0];
  Position position = next;
  if (node.value == 1) {
    const auto begin = static_cast<uint32_t>(grammar_.targets_.size());
    grammar_.targets_.insert(grammar_.targets_.end(), {next, next});
    position = add_step({Grammar::Kind::split, begin, 2});
    const Position inside = compile(part, position);
    grammar_.targets_[begin] = inside;
  } else {
    for (int64_t i = node.min; i < node.max; ++i) position = add_split({compile(part, position), next});
  }
  for (int64_t i = 0; i < node.min; ++i) position = compile(part, position);
  return position;
}

void GrammarBuilder::compile_rules(Rule root) {
  add_step({Grammar::Kind::end, 0, 0});
  called_ = {root};
  for (size_t i = 0; i < called_.size(); ++i) {
    const Rule rule = called_[i];
    if (!is_defined(rule)) fail(describe(rules_[rule]), ": it is not defined");
    const Position start = compile(rules_[rule].body, Grammar::kEnd);
    rules_[rule].start = start;
  }
}

/// Position -> those whose properties depend on its own.
std::vector<std::vector<Position>> GrammarBuilder::predecessors() const {
  std::vector<std::vector<Position>> result(grammar_.steps_.size());
  for (Position p = 0; p < grammar_.steps_.size(); ++p) {
    const Grammar::Step& step = grammar_.steps_[p];
    switch (step.kind) {
      case Grammar::Kind::end:
        break;
      case Grammar::Kind::split:
        for (const Position target : grammar_.targets(p)) result[target].push_back(p);
        break;
      case Grammar::Kind::call:
        result[step.argument].push_back(p);
        [[fallthrough]];
      case Grammar::Kind::bytes:
        result[step.next].push_back(p);
    }
  }
  return result;
}

/// The smallest fixed point: heights start as endless and only fall.
void GrammarBuilder::set_heights() {
  auto& heights = grammar_.heights_;
  heights.assign(grammar_.steps_.size(), Grammar::kEndless);
  heights[Grammar::kEnd] = 0;
  const auto users = predecessors();
  std::vector<Position> changed = {Grammar::kEnd};
  const auto height_of = [&](Position p) {
    const Grammar::Step& step = grammar_.steps_[p];
    if (step.kind == Grammar::Kind::bytes) return heights[step.next];
    if (step.kind == Grammar::Kind::split) {
      uint32_t least = Grammar::kEndless;
      for (const Position target : grammar_.targets(p)) least = std::min(least, heights[target]);
      return least;
    }
    const uint32_t callee = heights[step.argument];
    if (callee == Grammar::kEndless || step.next == Grammar::kEnd)
      return callee;  // a last call opens nothing
    return std::max(callee + 1, heights[step.next]);
  };
  while (!changed.empty()) {
    const Position p = changed.back();
    changed.pop_back();
    for (const Position user : users[p]) {
      const uint32_t height = height_of(user);
      if (height >= heights[user]) continue;
      heights[user] = height;
      changed.push_back(user);
    }
  }
}

std::vector<bool> GrammarBuilder::nullable_positions() const {
  std::vector<bool> nullable(grammar_.steps_.size());
  nullable[Grammar::kEnd] = true;
  const auto users = predecessors();
  std::vector<Position> changed = {Grammar::kEnd};
  while (!changed.empty()) {
    const Position p = changed.back();
    changed.pop_back();
    for (const Position user : users[p]) {
      const Grammar::Step& step = grammar_.steps_[user];
      if (nullable[user] || step.kind == Grammar::Kind::bytes) continue;
      if (step.kind == Grammar::Kind::call && !(nullable[step.argument] && nullable[step.next])) continue;
      nullable[user] = true;
      changed.push_back(user);
    }
  }
  return nullable;
}

/// Which rule may begin with which; what remains when rules that no remaining one begins with are taken away,
/// one after another, begins with itself or is reached by such ones.
void GrammarBuilder::refuse_left_recursion() const {
  const std::vector<bool> nullable = nullable_positions();
  std::unordered_map<Position, std::vector<size_t>> at_start;  // rules may share their start
  for (size_t i = 0; i < called_.size(); ++i) at_start[rules_[called_[i]].start].push_back(i);
  std::vector<std::vector<size_t>> first_calls(called_.size());
  std::vector<size_t> users(called_.size(), 0);
  for (size_t i = 0; i < called_.size(); ++i) {
    std::vector<Position> pending = {rules_[called_[i]].start};
    std::unordered_map<Position, bool> seen;
    std::vector<size_t>& calls = first_calls[i];
    while (!pending.empty()) {
      const Position p = pending.back();
      pending.pop_back();
      if (!seen.emplace(p, true).second) continue;
      const Grammar::Step& step = grammar_.steps_[p];
      if (step.kind == Grammar::Kind::split) {
        const auto targets = grammar_.targets(p);
        pending.insert(pending.end(), targets.begin(), targets.end());
      } else if (step.kind == Grammar::Kind::call) {
        calls.push_back(at_start.at(step.argument).front());
        if (nullable[step.argument]) pending.push_back(step.next);
      }
    }
    std::ranges::sort(calls);
    calls.erase(std::unique(calls.begin(), calls.end()), calls.end());
    for (const size_t callee : calls) ++users[callee];
  }
  std::vector<size_t> unused;
  std::vector<bool> removed(called_.size());
  for (size_t i = 0; i < called_.size(); ++i) {
    if (users[i] == 0) unused.push_back(i);
  }
  while (!unused.empty()) {
    const size_t i = unused.back();
    unused.pop_back();
    removed[i] = true;
    for (const size_t callee : first_calls[i]) {
      if (--users[callee] == 0) unused.push_back(callee);
    }
  }
  // Every remaining rule is called first by a remaining one: going back along these ends in a circle.
  size_t at = 0;
  while (at < called_.size() && removed[at]) ++at;
  if (at == called_.size()) return;
  std::vector<bool> visited(called_.size());
  while (!visited[at]) {
    visited[at] = true;
    for (size_t caller = 0; caller < called_.size(); ++caller) {
      if (!removed[caller] && std::ranges::binary_search(first_calls[caller], at)) {
        at = caller;
        break;
      }
    }
  }
  fail(describe(rules_[called_[at]]),
       ": expected a rule that begins with something else, found one that may begin with itself (left "
       "recursion); a repetition says the same: item (\",\" item)*");
}

/// Two bytes are of one class if they are in the same sets.
void GrammarBuilder::set_classes() {
  std::map<std::vector<bool>, uint8_t> classes;
  for (size_t byte = 0; byte < 256; ++byte) {
    std::vector<bool> members;
    for (const ByteSet& set : grammar_.sets_) members.push_back(set[byte]);
    const auto next = static_cast<uint8_t>(classes.size());
    grammar_.class_of_[byte] = classes.try_emplace(std::move(members), next).first->second;
  }
  grammar_.num_classes_ = classes.size();
}

std::shared_ptr<const Grammar> GrammarBuilder::build(Rule root) {
  compile_rules(root);
  for (Grammar::Step& step : grammar_.steps_) {
    if (step.kind == Grammar::Kind::call) step.argument = rules_[step.argument].start;
  }
  grammar_.root_ = rules_[root].start;
  refuse_left_recursion();
  set_heights();
  if (grammar_.height(grammar_.root_) > grammar_.max_depth_) {
    fail(describe(rules_[root]), ": expected a grammar with a text that ends, found none",
         grammar_.height(grammar_.root_) == Grammar::kEndless
             ? ""
             : cat(" with at most ", grammar_.max_depth_, " rules inside one another"));
  }
  set_classes();
  return std::make_shared<const Grammar>(std::move(grammar_));
}

bool Grammar::matches(std::string_view text) const {
  WorkBudget endless("grammar", UINT64_MAX);
  return matches(text, endless);
}

bool Grammar::matches(std::string_view text, WorkBudget& budget) const {
  constexpr uint64_t kBytesPerPosition = 16;  // looking at one takes so long as at that many bytes, about
  constexpr size_t kMaxBytes = size_t{8} << 20;
  StackSets sets(*this);
  StackSets::Set set = sets.start();
  uint64_t work = 0;
  for (const char c : text) {
    sets.limit_work(StackSets::kMaxStepWork);
    set = sets.step(set, static_cast<uint8_t>(c));
    budget.spend(kBytesPerPosition * (1 + sets.work() - work));
    work = sets.work();
    if (sets.num_bytes() >= kMaxBytes) sets.collect({&set, 1});
  }
  return sets.complete(set);
}

}  // namespace rotor::runtime::grammar
