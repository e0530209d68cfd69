// Makes a Grammar out of expressions, as gbnf.cpp and json_schema.cpp write them down. An expression is a
// number that only its builder knows; the same one may be used in many places and then costs little more.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "runtime/grammar/code_points.h"
#include "runtime/grammar/grammar.h"

namespace rotor::runtime::grammar {

class GrammarBuilder {
 public:
  using Expression = uint32_t;
  using Rule = uint32_t;

  /// `source` names the grammar in errors. `max_depth`: Grammar::max_depth().
  GrammarBuilder(std::string source, uint32_t max_depth);

  static constexpr Expression kNothing = 0;  ///< the empty text
  static constexpr Expression kNever = 1;    ///< no text at all

  Expression literal(std::string_view bytes);
  Expression byte(const ByteSet& set);
  /// One character of the set, in UTF-8.
  Expression character(const CodePoints& set);
  Expression sequence(std::vector<Expression> parts);
  Expression choice(std::vector<Expression> alternatives);
  Expression optional(Expression part) { return choice({part, kNothing}); }
  static constexpr int64_t kUnlimited = -1;
  /// `min` to `max` times, 0 <= min <= max. Large counts are made of halves: {0,10000} costs some 20 rules.
  Expression repeat(Expression part, int64_t min, int64_t max);

  /// A rule that is still to be defined; `where` begins the errors about it.
  Rule declare(const std::string& name, const std::string& where = "");
  void define(Rule rule, Expression body);
  Expression call(Rule rule);
  /// A call of a new rule without a name.
  Expression as_rule(Expression body);
  bool is_defined(Rule rule) const { return rules_[rule].body != kUndefined; }

  /// Throws Error naming the rule if one that `root` needs is not defined, if a rule may begin with itself,
  /// if no text ever ends, or if the grammar is too large.
  std::shared_ptr<const Grammar> build(Rule root);

 private:
  static constexpr Expression kUndefined = UINT32_MAX;
  enum class Kind : uint8_t { nothing, byte, sequence, choice, repeat, call };
  struct Node {
    Kind kind;
    uint32_t value = 0;  // a set or a rule; of a repetition, 1: unlimited
    std::vector<Expression> parts;
    int64_t min = 0;
    int64_t max = 0;
    uint64_t size = 1;  // about how many positions it takes, at most 2^32
    size_t depth = 0;   // of parts inside one another; what is called is no part
  };
  struct RuleEntry {
    std::string name;
    std::string where;
    Expression body = kUndefined;
    Position start = UINT32_MAX;
  };
  /// Makes large repetitions of one expression.
  class Halves;

  Expression add(Node node);
  std::string describe(const RuleEntry& rule) const;
  uint32_t intern(const ByteSet& set);

  Position add_step(const Grammar::Step& step);
  Position add_split(std::vector<Position> targets);
  Position compile(Expression expression, Position next);
  Position compile_repeat(const Node& node, Position next);
  Position compile_new(Expression expression, Position next);
  void compile_rules(Rule root);
  std::vector<std::vector<Position>> predecessors() const;
  void set_heights();
  std::vector<bool> nullable_positions() const;
  void refuse_left_recursion() const;
  void set_classes();

  std::string source_;
  std::vector<Node> nodes_;
  std::vector<RuleEntry> rules_;
  std::vector<Rule> called_;  // rules that are reachable, in the order in which they are compiled
  std::unordered_map<std::string, uint32_t> set_index_;
  std::unordered_map<uint64_t, Position> compiled_;  // expression and next position
  std::map<std::pair<uint64_t, Position>, Position> steps_;
  Grammar grammar_;
};

}  // namespace rotor::runtime::grammar
