// The parser's two halves: ExpressionParser knows what stands in tags, parse() in parser.cpp what tags mean.
#pragma once

#include <initializer_list>
#include <vector>

#include "rotor/core/error.h"
#include "rotor/text/jinja/ast.h"
#include "rotor/text/jinja/lexer.h"

namespace rotor::text::jinja {

/// Recursive descent, in Jinja2's order of precedence. Errors say "line N: ...".
class ExpressionParser {
 public:
  explicit ExpressionParser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

 protected:
  using Kind = Expression::Kind;
  using Type = Token::Type;

  const Token& token() const { return tokens_[at_]; }
  bool is(Type type) const { return token().type == type; }
  bool is_op(std::string_view op) const { return is(Type::op) && token().text == op; }
  bool is_name(std::string_view name) const { return is(Type::name) && token().text == name; }
  bool is_any_name(std::initializer_list<std::string_view> names) const;
  /// Goes behind the token if it is that one.
  bool take_op(std::string_view op);
  bool take_name(std::string_view name);
  void expect_op(std::string_view op);
  void expect_name(std::string_view name);
  void expect(Type type, std::string_view what);
  std::string expect_identifier();
  void next() { ++at_; }
  template <class... Args>
  [[noreturn]] void complain(int line, const Args&... args) const {
    fail("line ", line, ": ", args...);
  }
  /// "expected WHAT, found TOKEN".
  [[noreturn]] void complain_found(std::string_view what) const;

  /// A node with these operands. Throws Error if it is nested too deep.
  template <class... Operands>
  ExpressionPtr make(Kind kind, int line, std::string name, Operands... operands) const {
    auto node = std::make_unique<Expression>(Expression{kind, line, std::move(name)});
    (add_operand(*node, std::move(operands)), ...);
    return node;
  }
  void add_operand(Expression& node, ExpressionPtr operand) const;

  ExpressionPtr parse_expression(bool with_condition = true);
  /// One expression or several with commas between them, a tuple. `ends`: names that end it.
  ExpressionPtr parse_tuple(bool with_condition = true, std::initializer_list<std::string_view> ends = {},
                            bool in_parentheses = false);
  /// What may be assigned to: names, tuples of them; with_space: also attributes of namespaces.
  ExpressionPtr parse_target(bool with_space);
  /// `| filter`s behind `input`; `is_open`: the first one has no "|" before it.
  ExpressionPtr parse_filters(ExpressionPtr input, bool is_open = false);
  std::vector<Parameter> parse_parameters();

  /// Counts how deep the parser is in itself while it lives.
  class Nested {
   public:
    explicit Nested(ExpressionParser& parser);
    ~Nested() { --parser_.nesting_; }
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;

   private:
    ExpressionParser& parser_;
  };

 private:
  ExpressionPtr parse_or();
  ExpressionPtr parse_and();
  ExpressionPtr parse_not();
  ExpressionPtr parse_comparison();
  ExpressionPtr parse_sum();
  ExpressionPtr parse_concat();
  ExpressionPtr parse_product();
  ExpressionPtr parse_power();
  ExpressionPtr parse_unary(bool with_filters);
  ExpressionPtr parse_primary();
  ExpressionPtr parse_postfix(ExpressionPtr node);
  ExpressionPtr parse_subscript(ExpressionPtr node);
  ExpressionPtr parse_slice_or_expression();
  ExpressionPtr parse_test(ExpressionPtr node);
  ExpressionPtr parse_list();
  ExpressionPtr parse_dict();
  void parse_arguments(Expression& call);
  bool ends_tuple(std::initializer_list<std::string_view> ends) const;
  ExpressionPtr parse_target_part(bool with_space);

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int nesting_ = 0;
};

}  // namespace rotor::text::jinja
