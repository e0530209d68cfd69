// What both halves of the parser stand on: the current token, and what may be assigned to.
#include <algorithm>

#include "rotor/text/jinja/parser.h"

namespace rotor::text::jinja {

ExpressionParser::Nested::Nested(ExpressionParser& parser) : parser_(parser) {
  if (++parser_.nesting_ > kMaxNesting) {
    --parser_.nesting_;
    parser_.complain(parser_.token().line, "nested deeper than ", kMaxNesting, " levels");
  }
}

bool ExpressionParser::is_any_name(std::initializer_list<std::string_view> names) const {
  return is(Type::name) && std::ranges::find(names, token().text) != names.end();
}

bool ExpressionParser::take_op(std::string_view op) {
  if (!is_op(op)) return false;
  next();
  return true;
}

bool ExpressionParser::take_name(std::string_view name) {
  if (!is_name(name)) return false;
  next();
  return true;
}

void ExpressionParser::complain_found(std::string_view what) const {
  constexpr const char* kTypes[] = {"text", "{{", "the end of the tag", "{%", "the end of the tag"};
  std::string found = "the end of the template";
  if (token().type <= Type::end_block) found = kTypes[static_cast<size_t>(token().type)];
  if (is(Type::string)) found = "a string";
  if (is(Type::name) || is(Type::op) || is(Type::number)) found = cat('"', token().text.substr(0, 60), '"');
  complain(token().line, "expected ", what, ", found ", found);
}

void ExpressionParser::expect_op(std::string_view op) {
  if (!take_op(op)) complain_found(cat('"', op, '"'));
}

void ExpressionParser::expect_name(std::string_view name) {
  if (!take_name(name)) complain_found(cat('"', name, '"'));
}

void ExpressionParser::expect(Type type, std::string_view what) {
  if (!is(type)) complain_found(what);
  next();
}

std::string ExpressionParser::expect_identifier() {
  if (!is(Type::name)) complain_found("a name");
  return tokens_[at_++].text;
}

void ExpressionParser::add_operand(Expression& node, ExpressionPtr operand) const {
  if (operand != nullptr) node.depth = std::max(node.depth, operand->depth + 1);
  if (node.depth > kMaxNesting) complain(node.line, "nested deeper than ", kMaxNesting, " levels");
  node.operands.push_back(std::move(operand));
}

ExpressionPtr ExpressionParser::parse_target_part(bool with_space) {
  const Nested nested(*this);
  const int line = token().line;
  if (take_op("(")) {
    auto tuple = make(Kind::tuple, line, "");
    while (!is_op(")")) {
      add_operand(*tuple, parse_target_part(with_space));
      if (!take_op(",")) break;
    }
    expect_op(")");
    if (tuple->operands.empty()) complain(line, "there is nothing to assign to");
    return tuple;
  }
  const std::string name = expect_identifier();
  for (const char* constant : {"true", "false", "none", "True", "False", "None"}) {
    if (name == constant) complain(line, "cannot assign to \"", name, "\"");
  }
  auto target = make(Kind::name, line, name);
  if (with_space && take_op(".")) {
    target->kind = Kind::space_name;
    target->operators.push_back(expect_identifier());
  }
  return target;
}

ExpressionPtr ExpressionParser::parse_target(bool with_space) {
  const int line = token().line;
  ExpressionPtr first = parse_target_part(with_space);
  if (!is_op(",")) return first;
  auto tuple = make(Kind::tuple, line, "", std::move(first));
  while (take_op(",") && !is_name("in") && !is_op("=")) add_operand(*tuple, parse_target_part(with_space));
  return tuple;
}

std::vector<Parameter> ExpressionParser::parse_parameters() {
  std::vector<Parameter> parameters;
  expect_op("(");
  while (!is_op(")")) {
    if (!parameters.empty()) expect_op(",");
    const int line = token().line;
    Parameter parameter{expect_identifier(), nullptr};
    if (take_op("=")) {
      parameter.fallback = parse_expression();
    } else if (!parameters.empty() && parameters.back().fallback != nullptr) {
      complain(line, "parameter \"", parameter.name, "\" without a default stands behind one with a default");
    }
    parameters.push_back(std::move(parameter));
  }
  expect_op(")");
  return parameters;
}

}  // namespace rotor::text::jinja
