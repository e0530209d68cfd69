// Expressions, with the precedence that Jinja2 3.1 gives them: "~" binds stronger than "+", a unary minus
// weaker than a filter, and "**" is taken from the left.
#include <algorithm>

#include "rotor/text/jinja/parser.h"

namespace rotor::text::jinja {

ExpressionPtr ExpressionParser::parse_expression(bool with_condition) {
  const Nested nested(*this);
  ExpressionPtr node = parse_or();
  while (with_condition && is_name("if")) {
    const int line = token().line;
    next();
    ExpressionPtr test = parse_or();
    ExpressionPtr otherwise = take_name("else") ? parse_expression() : nullptr;
    node = make(Kind::condition, line, "if", std::move(test), std::move(node), std::move(otherwise));
  }
  return node;
}

ExpressionPtr ExpressionParser::parse_or() {
  ExpressionPtr node = parse_and();
  while (is_name("or")) {
    const int line = token().line;
    next();
    node = make(Kind::binary, line, "or", std::move(node), parse_and());
  }
  return node;
}

ExpressionPtr ExpressionParser::parse_and() {
  ExpressionPtr node = parse_not();
  while (is_name("and")) {
    const int line = token().line;
    next();
    node = make(Kind::binary, line, "and", std::move(node), parse_not());
  }
  return node;
}

ExpressionPtr ExpressionParser::parse_not() {
  const Nested nested(*this);
  const int line = token().line;
  if (take_name("not")) return make(Kind::unary, line, "not", parse_not());
  return parse_comparison();
}

ExpressionPtr ExpressionParser::parse_comparison() {
  ExpressionPtr first = parse_sum();
  ExpressionPtr node;
  while (true) {
    const int line = token().line;
    std::string op;
    if (is(Type::op)) {
      for (const char* candidate : {"==", "!=", "<", "<=", ">", ">="}) {
        if (token().text == candidate) op = candidate;
      }
    } else if (is_name("in")) {
      op = "in";
    } else if (is_name("not") && tokens_[at_ + 1].type == Type::name && tokens_[at_ + 1].text == "in") {
      op = "not in";
      next();
    }
    if (op.empty()) return node != nullptr ? std::move(node) : std::move(first);
    next();
    if (node == nullptr) node = make(Kind::comparison, line, "", std::move(first));
    node->operators.push_back(op);
    add_operand(*node, parse_sum());
  }
}

ExpressionPtr ExpressionParser::parse_sum() {
  ExpressionPtr node = parse_concat();
  while (is_op("+") || is_op("-")) {
    const Token op = token();
    next();
    node = make(Kind::binary, op.line, op.text, std::move(node), parse_concat());
  }
  return node;
}

ExpressionPtr ExpressionParser::parse_concat() {
  ExpressionPtr node = parse_product();
  if (!is_op("~")) return node;
  node = make(Kind::concat, token().line, "~", std::move(node));
  while (take_op("~")) add_operand(*node, parse_product());
  return node;
}

ExpressionPtr ExpressionParser::parse_product() {
  ExpressionPtr node = parse_power();
  while (is_op("*") || is_op("/") || is_op("//") || is_op("%")) {
    const Token op = token();
    next();
    node = make(Kind::binary, op.line, op.text, std::move(node), parse_power());
  }
  return node;
}

ExpressionPtr ExpressionParser::parse_power() {
  ExpressionPtr node = parse_unary(true);
  while (is_op("**")) {
    const int line = token().line;
    next();
    node = make(Kind::binary, line, "**", std::move(node), parse_unary(true));
  }
  return node;
}

ExpressionPtr ExpressionParser::parse_unary(bool with_filters) {
  const Nested nested(*this);
  const Token op = token();
  ExpressionPtr node;
  if (is_op("-") || is_op("+")) {
    next();
    node = make(Kind::unary, op.line, op.text, parse_unary(false));
  } else {
    node = parse_primary();
  }
  node = parse_postfix(std::move(node));
  while (with_filters) {
    if (is_op("|")) {
      node = parse_filters(std::move(node));
    } else if (is_name("is")) {
      node = parse_test(std::move(node));
    } else if (is_op("(")) {
      node = parse_postfix(std::move(node));
    } else {
      break;
    }
  }
  return node;
}

ExpressionPtr ExpressionParser::parse_primary() {
  const Token first = token();
  if (take_op("(")) {
    ExpressionPtr node = parse_tuple(true, {}, true);
    expect_op(")");
    return node;
  }
  if (is_op("[")) return parse_list();
  if (is_op("{")) return parse_dict();
  if (!is(Type::name) && !is(Type::string) && !is(Type::number)) complain_found("an expression");
  next();
  auto node = make(Kind::constant, first.line, first.text);
  if (first.type == Type::number) {
    node->value = first.number;
  } else if (first.type == Type::string) {
    std::string text = first.text;
    while (is(Type::string)) {
      text += token().text;
      next();
    }
    node->value = Value(std::move(text));
  } else if (first.text == "true" || first.text == "True") {
    node->value = true;
  } else if (first.text == "false" || first.text == "False") {
    node->value = false;
  } else if (first.text == "none" || first.text == "None") {
    node->value = nullptr;
  } else {
    node->kind = Kind::name;
  }
  return node;
}

bool ExpressionParser::ends_tuple(std::initializer_list<std::string_view> ends) const {
  return is(Type::end_print) || is(Type::end_block) || is_op(")") || is_any_name(ends);
}

ExpressionPtr ExpressionParser::parse_tuple(bool with_condition, std::initializer_list<std::string_view> ends,
                                            bool in_parentheses) {
  const int line = token().line;
  auto tuple = make(Kind::tuple, line, "");
  bool has_comma = false;
  while (!ends_tuple(ends)) {
    add_operand(*tuple, parse_expression(with_condition));
    if (!take_op(",")) break;
    has_comma = true;
  }
  if (!has_comma && !tuple->operands.empty()) return std::move(tuple->operands[0]);
  if (!has_comma && !in_parentheses) complain_found("an expression");
  return tuple;
}

ExpressionPtr ExpressionParser::parse_list() {
  auto list = make(Kind::list, token().line, "");
  expect_op("[");
  while (!is_op("]")) {
    if (!list->operands.empty()) expect_op(",");
    if (is_op("]")) break;
    add_operand(*list, parse_expression());
  }
  expect_op("]");
  return list;
}

ExpressionPtr ExpressionParser::parse_dict() {
  auto dict = make(Kind::dict, token().line, "");
  expect_op("{");
  while (!is_op("}")) {
    if (!dict->operands.empty()) expect_op(",");
    if (is_op("}")) break;
    add_operand(*dict, parse_expression());
    expect_op(":");
    add_operand(*dict, parse_expression());
  }
  expect_op("}");
  return dict;
}

ExpressionPtr ExpressionParser::parse_postfix(ExpressionPtr node) {
  while (true) {
    const int line = token().line;
    if (is_op(".") || is_op("[")) {
      node = parse_subscript(std::move(node));
    } else if (is_op("(")) {
      node = make(Kind::call, line, "", std::move(node));
      parse_arguments(*node);
    } else {
      return node;
    }
  }
}

ExpressionPtr ExpressionParser::parse_subscript(ExpressionPtr node) {
  const int line = token().line;
  if (take_op(".")) {
    if (is(Type::name)) return make(Kind::attribute, line, expect_identifier(), std::move(node));
    if (!is(Type::number) || !token().number.is_integral()) complain_found("a name or number");
    auto index = make(Kind::constant, line, "");
    index->value = token().number;
    next();
    return make(Kind::item, line, "", std::move(node), std::move(index));
  }
  expect_op("[");
  auto indices = make(Kind::tuple, line, "");
  while (!is_op("]")) {
    if (!indices->operands.empty()) expect_op(",");
    add_operand(*indices, parse_slice_or_expression());
  }
  expect_op("]");
  if (indices->operands.size() == 1) {
    return make(Kind::item, line, "", std::move(node), std::move(indices->operands[0]));
  }
  for (const ExpressionPtr& index : indices->operands) {
    if (index->kind == Kind::slice) complain(line, "slices of several dimensions are not supported");
  }
  return make(Kind::item, line, "", std::move(node), std::move(indices));
}

ExpressionPtr ExpressionParser::parse_slice_or_expression() {
  const int line = token().line;
  ExpressionPtr begin = is_op(":") ? nullptr : parse_expression();
  if (!take_op(":")) return begin;
  const auto part = [&] { return is_op(":") || is_op("]") || is_op(",") ? nullptr : parse_expression(); };
  ExpressionPtr end = part();
  ExpressionPtr step = take_op(":") ? part() : nullptr;
  return make(Kind::slice, line, "", std::move(begin), std::move(end), std::move(step));
}

void ExpressionParser::parse_arguments(Expression& call) {
  const int line = token().line;
  expect_op("(");
  while (!is_op(")")) {
    if (is_op("*") || is_op("**"))
      complain(token().line, "\"", token().text, "\" before arguments is not supported");
    if (is(Type::name) && tokens_[at_ + 1].type == Type::op && tokens_[at_ + 1].text == "=") {
      const std::string name = expect_identifier();
      next();
      ExpressionPtr value = parse_expression();
      call.depth = std::max(call.depth, value->depth + 1);
      for (const auto& [other, unused] : call.keywords) {
        if (other == name) complain(line, "argument \"", name, "\" is given twice");
      }
      call.keywords.emplace_back(name, std::move(value));
    } else {
      if (!call.keywords.empty()) complain(line, "an argument without name stands behind one with a name");
      add_operand(call, parse_expression());
    }
    if (!is_op(")")) expect_op(",");
  }
  expect_op(")");
  if (call.depth > kMaxNesting) complain(line, "nested deeper than ", kMaxNesting, " levels");
}

ExpressionPtr ExpressionParser::parse_filters(ExpressionPtr input, bool is_open) {
  while (is_open || is_op("|")) {
    const int line = token().line;
    if (!std::exchange(is_open, false)) next();
    std::string name = expect_identifier();
    while (take_op(".")) name.append(".").append(expect_identifier());
    input = make(Kind::filter, line, name, std::move(input));
    if (is_op("(")) parse_arguments(*input);
  }
  return input;
}

ExpressionPtr ExpressionParser::parse_test(ExpressionPtr node) {
  const int line = token().line;
  expect_name("is");
  const bool is_negated = take_name("not");
  std::string name = expect_identifier();
  while (take_op(".")) name.append(".").append(expect_identifier());
  auto test = make(Kind::test, line, name, std::move(node));
  if (is_op("(")) {
    parse_arguments(*test);
  } else if ((is(Type::name) || is(Type::string) || is(Type::number) || is_op("[") || is_op("{")) &&
             !is_any_name({"else", "or", "and"})) {
    if (is_name("is")) complain(line, "tests cannot be chained with \"is\"");
    add_operand(*test, parse_postfix(parse_primary()));
  }
  if (is_negated) return make(Kind::unary, line, "not", std::move(test));
  return test;
}

}  // namespace rotor::text::jinja
