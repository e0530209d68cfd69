// What expressions give, and where names, attributes and items are found.
#include <utility>

#include "rotor/core/error.h"
#include "rotor/text/jinja/evaluator.h"
#include "rotor/text/jinja/operators.h"
#include "rotor/text/jinja/python_text.h"

namespace rotor::text::jinja {

Evaluator::Nested::Nested(Evaluator& evaluator) : evaluator_(evaluator) {
  if (++evaluator.depth_ <= kMaxRecursion) return;
  --evaluator.depth_;
  fail("evaluation is nested deeper than ", kMaxRecursion, " levels: does a macro call itself without end?");
}

Value Evaluator::evaluate(const Expression& expression) {
  const Nested nested(*this);
  charge(32);
  line_ = expression.line;
  using Kind = Expression::Kind;
  switch (expression.kind) {
    case Kind::constant:
      return expression.value;
    case Kind::name:
      return look_up(expression.name);
    case Kind::attribute:
      return attribute(evaluate(*expression.operands[0]), expression.name);
    case Kind::item:
      return evaluate_item(expression);
    case Kind::call: {
      const Value callee = evaluate(*expression.operands[0]);
      return call(callee, evaluate_arguments(expression));
    }
    case Kind::filter: {
      const Value input = evaluate(*expression.operands[0]);
      const Arguments arguments = evaluate_arguments(expression);
      line_ = expression.line;
      return call_filter(expression.name, input, arguments);
    }
    case Kind::test: {
      const Value value = evaluate(*expression.operands[0]);
      const Arguments arguments = evaluate_arguments(expression);
      return run_test(*this, expression.name, value, arguments);
    }
    case Kind::unary: {
      const Value value = evaluate(*expression.operands[0]);
      if (expression.name == "not") return !is_true(value);
      return calculate(expression.name, value);
    }
    case Kind::binary:
      return evaluate_binary(expression);
    case Kind::concat:
      return evaluate_concat(expression);
    case Kind::comparison:
      return evaluate_comparison(expression);
    case Kind::condition: {
      const bool chosen = is_true(evaluate(*expression.operands[0]));
      if (chosen) return evaluate(*expression.operands[1]);
      if (expression.operands[2] != nullptr) return evaluate(*expression.operands[2]);
      return Value::undefined("the inline if-expression was false and has no else");
    }
    case Kind::list:
      return make_list(evaluate_all(expression, 0));
    case Kind::tuple:
      return make_tuple(evaluate_all(expression, 0));
    case Kind::dict: {
      Dict dict;
      for (size_t i = 0; i < expression.operands.size(); i += 2) {
        const Value key = evaluate(*expression.operands[i]);
        dict.set(key, evaluate(*expression.operands[i + 1]));
      }
      return make_dict(std::move(dict));
    }
    case Kind::body:
      return bodies_.back();
    case Kind::slice:
    case Kind::space_name:
      break;
  }
  fail("this expression has no value by itself");
}

Value Evaluator::evaluate_binary(const Expression& expression) {
  Value left = evaluate(*expression.operands[0]);
  if (expression.name == "and" || expression.name == "or") {
    return is_true(left) == (expression.name == "or") ? left : evaluate(*expression.operands[1]);
  }
  const Value right = evaluate(*expression.operands[1]);
  line_ = expression.line;
  Value result = calculate(expression.name, left, right);
  charge(result.weight());
  return result;
}

Value Evaluator::evaluate_comparison(const Expression& expression) {
  Value left = evaluate(*expression.operands[0]);
  for (size_t i = 0; i < expression.operators.size(); ++i) {
    Value right = evaluate(*expression.operands[i + 1]);
    line_ = expression.line;
    const bool is_search = expression.operators[i].ends_with("in");
    charge(is_search ? right.weight() : std::min(left.weight(), right.weight()));
    if (!compare(expression.operators[i], left, right)) return false;
    left = std::move(right);
  }
  return true;
}

Value Evaluator::evaluate_concat(const Expression& expression) {
  std::string text;
  for (const ExpressionPtr& operand : expression.operands) {
    const Value part = evaluate(*operand);
    charge(part.weight());
    text += to_text(part);
    if (text.size() > kMaxTextBytes) break;  // refused below
  }
  charge(text.size());
  return Value(std::move(text));
}

Value Evaluator::evaluate_item(const Expression& expression) {
  const Value object = evaluate(*expression.operands[0]);
  object.require_defined();
  const Expression& key = *expression.operands[1];
  if (object.is_text()) charge(object.text().size() / 16);
  if (key.kind != Expression::Kind::slice) return item(object, evaluate(key));
  const auto part = [&](size_t i) {
    return key.operands[i] == nullptr ? Value(nullptr) : evaluate(*key.operands[i]);
  };
  const Value begin = part(0);
  const Value end = part(1);
  Value result = slice(object, begin, end, part(2));
  charge(result.weight());
  return result;
}

Value Evaluator::look_up(const std::string& name) {
  for (const Scope* scope = scope_.get(); scope != nullptr; scope = scope->outer.get()) {
    if (const auto found = scope->values.find(name); found != scope->values.end()) return found->second;
  }
  if (const Function function = find_function(name)) {
    return std::make_shared<const Callable>(Callable{.name = name, .function = function});
  }
  return Value::undefined(cat("'", name, "' is undefined"));
}

Items Evaluator::evaluate_all(const Expression& expression, size_t first) {
  Items values;
  for (size_t i = first; i < expression.operands.size(); ++i)
    values.push_back(evaluate(*expression.operands[i]));
  return values;
}

Arguments Evaluator::evaluate_arguments(const Expression& call) {
  Arguments arguments{evaluate_all(call, 1)};
  for (const auto& [name, value] : call.keywords) arguments.named.emplace_back(name, evaluate(*value));
  return arguments;
}

Value Evaluator::call(const Value& callee, const Arguments& arguments) {
  const Nested nested(*this);
  callee.require_defined();
  const Callable* callable = callee.callable();
  if (callable == nullptr) fail("a value of type ", callee.type_name(), " cannot be called");
  if (callable->macro != nullptr) return call_macro(*callable, arguments);
  charge(callable->self.is_text() ? callable->self.text().size() / 16 : 32);
  Value result = callable->function(*this, callable->self, arguments);
  charge(result.weight());
  return result;
}

Value Evaluator::call_filter(const std::string& name, const Value& input, const Arguments& arguments) {
  const Nested nested(*this);
  const Function filter = find_filter(name);
  if (filter == nullptr) fail("there is no filter \"", name, "\"");
  charge(input.is_text() ? 32 + input.text().size() / 16 : 32);
  if (input.sequence() != nullptr) charge(input.sequence()->items.size());
  Value result = filter(*this, input, arguments);
  if (result.is_text()) charge(result.text().size());
  if (result.sequence() != nullptr) charge(24 * result.sequence()->items.size());
  return result;
}

std::optional<Value> Evaluator::own_attribute(const Value& object, const std::string& name) {
  if (const Namespace* space = object.name_space()) {
    const auto found = space->attributes.find(name);
    return found == space->attributes.end() ? std::nullopt : std::optional(found->second);
  }
  const Loop* loop = object.loop();
  if (loop == nullptr) return find_method(object, name);
  const auto& items = loop->items->items;
  const auto length = static_cast<int64_t>(items.size());
  const auto item = [&](int64_t i) {
    return i >= 0 && i < length ? items[static_cast<size_t>(i)]
                                : Value::undefined(cat("there is no ", name, " in the loop"));
  };
  if (name == "index") return loop->index + 1;
  if (name == "index0") return loop->index;
  if (name == "revindex") return length - loop->index;
  if (name == "revindex0") return length - loop->index - 1;
  if (name == "first") return loop->index == 0;
  if (name == "last") return loop->index == length - 1;
  if (name == "length") return length;
  if (name == "depth") return 1;  // of recursive loops only
  if (name == "depth0") return 0;
  if (name == "previtem") return item(loop->index - 1);
  if (name == "nextitem") return item(loop->index + 1);
  return find_method(object, name);
}

Value Evaluator::attribute(const Value& object, const std::string& name) {
  object.require_defined();
  if (auto own = own_attribute(object, name)) return *std::move(own);
  if (const Dict* dict = object.dict()) {
    if (const Value* entry = dict->find(name)) return *entry;
  }
  return Value::undefined(cat("'", object.type_name(), "' has no attribute '", name, "'"));
}

Value Evaluator::item(const Value& object, const Value& key) {
  object.require_defined();
  if (const Dict* dict = object.dict()) {
    if (const Value* entry = dict->find(key)) return *entry;
  }
  if (key.is_integral()) {
    const Sequence* sequence = object.sequence();
    const bool has_items = sequence != nullptr && sequence->type <= Sequence::Type::range;
    const auto length = static_cast<int64_t>(has_items          ? sequence->items.size()
                                             : object.is_text() ? count_characters(object.text())
                                                                : 0);
    const int64_t index = key.integer() < 0 ? key.integer() + length : key.integer();
    if (index >= 0 && index < length) {
      if (has_items) return sequence->items[static_cast<size_t>(index)];
      return Value(std::string(substring(object.text(), index, index + 1)), object.is_safe());
    }
  }
  if (key.is_text()) {
    if (auto own = own_attribute(object, key.text())) return *std::move(own);
  }
  return Value::undefined(cat("'", object.type_name(), "' has no item ",
                              key.is_text() || key.is_number() ? to_literal(key) : key.type_name()));
}

Value Evaluator::attribute_path(const Value& object, const Value& path, const Value& fallback) {
  const auto step = [&](const Value& from, const Value& key) {
    Value found = item(from, key);
    return found.is_undefined() && !fallback.is_undefined() && !fallback.is_none() ? fallback : found;
  };
  if (!path.is_text()) return step(object, path);
  Value value = object;
  for (const std::string& part : split(path.text(), ".", -1)) {
    int64_t index = 0;
    const bool is_index = !part.empty() && part.find_first_not_of("0123456789") == std::string::npos &&
                          parse_integer(part, 10, index);
    value = step(value, is_index ? Value(index) : Value(part));
  }
  return value;
}

Value Evaluator::make_namespace(const Arguments& arguments) {
  charge(256);
  auto space = std::make_shared<Namespace>();
  const auto set = [&](const std::string& name, const Value& value) {
    if (name.starts_with('_')) fail("names in a namespace do not begin with \"_\"");
    space->attributes[name] = value;
  };
  if (arguments.positional.size() > 1) fail("namespace: expected at most one argument without a name");
  for (const Value& initial : arguments.positional) {
    if (initial.dict() == nullptr) fail("namespace: expected a dict, found ", initial.type_name());
    for (const auto& [name, value] : initial.dict()->entries) set(to_text(name), value);
  }
  for (const auto& [name, value] : arguments.named) set(name, value);
  namespaces_.emplace_back(space);
  return space;
}

}  // namespace rotor::text::jinja
