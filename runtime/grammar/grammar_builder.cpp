// Expressions: how they are noted down, and how repetitions are made of halves. The network is built in
// build_grammar.cpp.
#include "runtime/grammar/grammar_builder.h"

#include <algorithm>

#include "rotor/core/error.h"

namespace rotor::runtime::grammar {
namespace {

/// Repetitions of more are made of halves, unless they are short.
constexpr int64_t kPlainRepetitions = 16;
constexpr uint64_t kPlainSize = 1024;
/// A larger expression becomes a rule before it is repeated.
constexpr uint64_t kLargePart = 64;
constexpr uint64_t kHuge = uint64_t{1} << 32;

}  // namespace

GrammarBuilder::GrammarBuilder(std::string source, uint32_t max_depth) : source_(std::move(source)) {
  grammar_.max_depth_ = max_depth;
  add({.kind = Kind::nothing, .parts = {}});
  add({.kind = Kind::choice, .parts = {}});
}

GrammarBuilder::Expression GrammarBuilder::add(Node node) {
  if (nodes_.size() >= kMaxExpressions) {
    fail(source_, ": expected at most ", kMaxExpressions, " parts, found more");
  }
  for (const Expression part : node.parts) {
    node.size = std::min(kHuge, node.size + nodes_[part].size);
    node.depth = std::max(node.depth, nodes_[part].depth + 1);
  }
  if (node.depth > kMaxExpressionDepth) {
    fail(source_, ": expected at most ", kMaxExpressionDepth, " parts inside one another, found more");
  }
  nodes_.push_back(std::move(node));
  return static_cast<Expression>(nodes_.size() - 1);
}

uint32_t GrammarBuilder::intern(const ByteSet& set) {
  const auto [entry, is_new] =
      set_index_.try_emplace(set.to_string(), static_cast<uint32_t>(grammar_.sets_.size()));
  if (is_new) grammar_.sets_.push_back(set);
  return entry->second;
}

GrammarBuilder::Expression GrammarBuilder::byte(const ByteSet& set) {
  return set.none() ? kNever : add({.kind = Kind::byte, .value = intern(set), .parts = {}});
}

GrammarBuilder::Expression GrammarBuilder::literal(std::string_view bytes) {
  std::vector<Expression> parts;
  for (const char c : bytes) parts.push_back(byte(ByteSet().set(static_cast<uint8_t>(c))));
  return sequence(std::move(parts));
}

GrammarBuilder::Expression GrammarBuilder::character(const CodePoints& set) {
  ByteSet ascii;
  std::vector<Expression> alternatives;
  const auto range = [&](const std::pair<uint8_t, uint8_t>& ends) {
    ByteSet bytes;
    for (int value = ends.first; value <= ends.second; ++value) bytes.set(static_cast<size_t>(value));
    return bytes;
  };
  for (const auto& [first, last] : set.ranges()) {
    for (const ByteRanges& ranges : utf8_ranges(first, last)) {
      if (ranges.size() == 1) {
        ascii |= range(ranges[0]);
        continue;
      }
      std::vector<Expression> parts;
      for (const auto& ends : ranges) parts.push_back(byte(range(ends)));
      alternatives.push_back(sequence(std::move(parts)));
    }
  }
  alternatives.push_back(byte(ascii));
  return choice(std::move(alternatives));
}

GrammarBuilder::Expression GrammarBuilder::sequence(std::vector<Expression> parts) {
  std::erase(parts, kNothing);
  if (std::ranges::find(parts, kNever) != parts.end()) return kNever;
  if (parts.empty()) return kNothing;
  return parts.size() == 1 ? parts[0] : add({.kind = Kind::sequence, .parts = std::move(parts)});
}

GrammarBuilder::Expression GrammarBuilder::choice(std::vector<Expression> alternatives) {
  std::erase(alternatives, kNever);
  if (alternatives.empty()) return kNever;
  return alternatives.size() == 1 ? alternatives[0]
                                  : add({.kind = Kind::choice, .parts = std::move(alternatives)});
}

/// {n} is {n/2} twice. {0,n} is {0,h-1}, or {h} and then {0,n-h}: the two never have the same length, so that
/// a text is followed along few ways at once.
class GrammarBuilder::Halves {
 public:
  Halves(GrammarBuilder& builder, Expression part) : builder_(builder), part_(part) {}

  Expression exactly(int64_t count) {
    if (count <= kPlainRepetitions) return builder_.repeat(part_, count, count);
    const auto [entry, is_new] = exactly_.try_emplace(count, 0);
    if (!is_new) return entry->second;
    const Expression half = exactly(count / 2);
    const Expression whole = builder_.sequence({half, half, count % 2 == 1 ? part_ : kNothing});
    return exactly_[count] = builder_.as_rule(whole);
  }

  Expression at_most(int64_t count) {
    if (count <= kPlainRepetitions) return builder_.repeat(part_, 0, count);
    const auto [entry, is_new] = at_most_.try_emplace(count, 0);
    if (!is_new) return entry->second;
    const int64_t half = (count + 1) / 2;
    const Expression shorter = at_most(half - 1);
    const Expression longer = builder_.sequence({exactly(half), at_most(count - half)});
    return at_most_[count] = builder_.as_rule(builder_.choice({shorter, longer}));
  }

 private:
  GrammarBuilder& builder_;
  Expression part_;
  std::map<int64_t, Expression> exactly_;
  std::map<int64_t, Expression> at_most_;
};

GrammarBuilder::Expression GrammarBuilder::repeat(Expression part, int64_t min, int64_t max) {
  if (max == 0 || part == kNothing) return kNothing;
  if (part == kNever) return min == 0 ? kNothing : kNever;
  if (min == 1 && max == 1) return part;
  const int64_t count = std::max(min, max);
  if (count > kMaxRepetitions) {
    fail(source_, ": expected repetition counts of at most ", kMaxRepetitions, ", found ", count);
  }
  if (count > 1 && nodes_[part].size > kLargePart) part = as_rule(part);
  if (count > kPlainRepetitions && nodes_[part].size * static_cast<uint64_t>(count) > kPlainSize) {
    Halves halves(*this, part);
    const Expression rest = max == kUnlimited ? repeat(part, 0, kUnlimited) : halves.at_most(max - min);
    return sequence({halves.exactly(min), rest});
  }
  const uint64_t size = nodes_[part].size * static_cast<uint64_t>(std::max<int64_t>(count, 1));
  return add({.kind = Kind::repeat,
              .value = max == kUnlimited ? 1U : 0U,
              .parts = {part},
              .min = min,
              .max = max,
              .size = std::min(kHuge, size)});
}

GrammarBuilder::Rule GrammarBuilder::declare(const std::string& name, const std::string& where) {
  if (rules_.size() >= kMaxExpressions) {
    fail(source_, ": expected at most ", kMaxExpressions, " rules, found more");
  }
  rules_.push_back({.name = name, .where = where});
  return static_cast<Rule>(rules_.size() - 1);
}

void GrammarBuilder::define(Rule rule, Expression body) {
  rules_[rule].body = body;
}

GrammarBuilder::Expression GrammarBuilder::call(Rule rule) {
  return add({.kind = Kind::call, .value = rule, .parts = {}});
}

GrammarBuilder::Expression GrammarBuilder::as_rule(Expression body) {
  const Rule rule = declare("");
  define(rule, body);
  return call(rule);
}

std::string GrammarBuilder::describe(const RuleEntry& rule) const {
  return cat(rule.where.empty() ? source_ : rule.where, rule.name.empty() ? "" : ": rule " + rule.name);
}

}  // namespace rotor::runtime::grammar
