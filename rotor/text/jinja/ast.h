// What the parser makes of a template: statements that hold expressions. Nodes say how deep they are, and no
// deeper ones than kMaxNesting are made, so recursion over them is safe.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "rotor/text/jinja/value.h"

namespace rotor::text::jinja {

inline constexpr int kMaxNesting = 150;

struct Expression;
using ExpressionPtr = std::unique_ptr<Expression>;

struct Expression {
  enum class Kind {
    constant,    ///< value
    name,        ///< name
    attribute,   ///< operands[0].name
    item,        ///< operands[0][operands[1]]
    slice,       ///< operands[0]:operands[1]:operands[2], each may be nullptr; only as the second of an item
    call,        ///< operands[0](operands[1], ..., keywords)
    filter,      ///< operands[0] | name(operands[1], ..., keywords)
    test,        ///< operands[0] is name(operands[1], ..., keywords)
    unary,       ///< name operands[0]; name is "not", "-" or "+"
    binary,      ///< operands[0] name operands[1]; arithmetic, "and", "or"
    concat,      ///< operands[0] ~ operands[1] ~ ...
    comparison,  ///< operands[0] operators[0] operands[1] operators[1] ...
    condition,   ///< operands[1] if operands[0] else operands[2], which may be nullptr
    list,
    tuple,
    dict,        ///< {operands[0]: operands[1], ...}
    space_name,  ///< name.operators[0], as the target of an assignment
    body         ///< the text of the block whose filters these are
  };
  Kind kind;
  int line;
  std::string name = {};
  Value value = {};
  std::vector<ExpressionPtr> operands = {};
  std::vector<std::string> operators = {};
  std::vector<std::pair<std::string, ExpressionPtr>> keywords = {};
  int depth = 1;
};

struct Statement;
using Body = std::vector<Statement>;

struct Parameter {
  std::string name;
  ExpressionPtr fallback;  ///< nullptr: none
};

struct Statement {
  enum class Kind {
    text,          ///< text, as it is
    print,         ///< value
    set,           ///< target = value
    set_block,     ///< target = body, through the filters of `value`
    condition,     ///< branches, then otherwise
    loop,          ///< for target in value if test: body; otherwise, if there was nothing
    macro,         ///< text names it: parameters, body
    call_block,    ///< value is a call; body with parameters is its `caller`
    filter_block,  ///< body, through the filters of `value`
    with,          ///< assignments that hold in body
    generation,    ///< body is an answer of the assistant
    break_loop,
    continue_loop
  };
  Kind kind;
  int line;
  std::string text = {};
  ExpressionPtr target = {}, value = {}, test = {};
  Body body = {}, otherwise = {};
  std::vector<std::pair<ExpressionPtr, Body>> branches = {};
  std::vector<std::pair<ExpressionPtr, ExpressionPtr>> assignments = {};
  std::vector<Parameter> parameters = {};
};

struct ParsedTemplate {
  Body body;
  bool has_generation = false;  ///< it marks the assistant's answers
};

/// Throws Error "line N: ..." for what is no template, or uses what is not supported.
ParsedTemplate parse(std::string_view source);

}  // namespace rotor::text::jinja
