// What the statements of a template do.
#include <algorithm>
#include <utility>

#include "rotor/core/error.h"
#include "rotor/text/jinja/evaluator.h"
#include "rotor/text/jinja/operators.h"

namespace rotor::text::jinja {

/// A scope inside of the current one, while this lives.
class Evaluator::InnerScope {
 public:
  explicit InnerScope(Evaluator& evaluator) : InnerScope(evaluator, evaluator.scope_) {}
  InnerScope(Evaluator& evaluator, std::shared_ptr<Scope> outer)
      : evaluator_(evaluator),
        before_(std::exchange(evaluator.scope_, std::make_shared<Scope>(Scope{{}, std::move(outer)}))) {}
  ~InnerScope() { evaluator_.scope_ = std::move(before_); }
  InnerScope(const InnerScope&) = delete;
  InnerScope& operator=(const InnerScope&) = delete;

 private:
  Evaluator& evaluator_;
  std::shared_ptr<Scope> before_;
};

Evaluator::Evaluator(const ParsedTemplate& parsed, const RenderInput& input)
    : parsed_(parsed), input_(input), scope_(std::make_shared<Scope>()), out_(&rendered_.text) {
  for (const auto& [name, value] : input.variables.dict()->entries) scope_->values[name.text()] = value;
}

Evaluator::~Evaluator() {
  for (const auto& scope : captured_) scope->values.clear();
  for (const Value& space : namespaces_) space.name_space()->attributes.clear();
}

Rendered Evaluator::render() {
  try {
    const InnerScope inner(*this);
    run(parsed_.body);
  } catch (const Error& e) {
    fail("line ", line_, ": ", e.what());
  }
  return std::move(rendered_);
}

void Evaluator::charge(size_t work) {
  work_ += work;
  if (work_ > input_.max_work) fail("the template takes too long, or makes too much text");
}

void Evaluator::write(std::string_view text) {
  charge(text.size());
  if (out_->size() + text.size() > kMaxTextBytes)
    fail("the output gets longer than ", kMaxTextBytes, " bytes");
  *out_ += text;
}

Evaluator::Flow Evaluator::run(const Body& body) {
  for (const Statement& statement : body) {
    if (const Flow flow = run(statement); flow != Flow::next) return flow;
  }
  return Flow::next;
}

Evaluator::Flow Evaluator::run(const Statement& statement) {
  const Nested nested(*this);
  charge(32);
  line_ = statement.line;
  Flow flow = Flow::next;
  switch (statement.kind) {
    case Statement::Kind::text:
      write(statement.text);
      break;
    case Statement::Kind::print:
      write(to_text(evaluate(*statement.value)));
      break;
    case Statement::Kind::set:
      assign(*statement.target, evaluate(*statement.value));
      break;
    case Statement::Kind::set_block: {
      std::string text = capture(statement.body, flow);
      if (flow == Flow::next) assign(*statement.target, filter_body(statement.value.get(), std::move(text)));
      break;
    }
    case Statement::Kind::filter_block: {
      std::string text = capture(statement.body, flow);
      if (flow == Flow::next) write(to_text(filter_body(statement.value.get(), std::move(text))));
      break;
    }
    case Statement::Kind::condition:
      for (const auto& [test, body] : statement.branches) {
        if (is_true(evaluate(*test))) return run(body);
      }
      return run(statement.otherwise);
    case Statement::Kind::loop:
      return run_loop(statement);
    case Statement::Kind::macro:
      scope_->values[statement.text] = make_macro(statement, statement.text);
      break;
    case Statement::Kind::call_block: {
      Arguments arguments = evaluate_arguments(*statement.value);
      arguments.named.emplace_back("caller", make_macro(statement, "caller"));
      write(to_text(call(evaluate(*statement.value->operands[0]), arguments)));
      break;
    }
    case Statement::Kind::with:
      return run_with(statement);
    case Statement::Kind::generation:
      run_generation(statement);
      break;
    case Statement::Kind::break_loop:
      return Flow::break_loop;
    case Statement::Kind::continue_loop:
      return Flow::continue_loop;
  }
  return flow;
}

Evaluator::Flow Evaluator::run_loop(const Statement& loop) {
  auto items = iterate(evaluate(*loop.value));
  if (loop.test != nullptr) {
    Items chosen;
    for (const Value& item : items->items) {
      const InnerScope inner(*this);
      assign(*loop.target, item);
      if (is_true(evaluate(*loop.test))) chosen.push_back(item);
    }
    items = make_list(std::move(chosen)).shared_sequence();
  }
  if (items->items.empty()) {
    const InnerScope inner(*this);
    return run(loop.otherwise);
  }
  const auto state = std::make_shared<Loop>(Loop{items});
  for (; state->index < static_cast<int64_t>(items->items.size()); ++state->index) {
    charge(64);
    const InnerScope inner(*this);
    scope_->values["loop"] = std::shared_ptr<const Loop>(state);
    assign(*loop.target, items->items[static_cast<size_t>(state->index)]);
    if (run(loop.body) == Flow::break_loop) break;
  }
  return Flow::next;
}

Evaluator::Flow Evaluator::run_with(const Statement& statement) {
  // All values are those outside of the block.
  Items values;
  for (const auto& [target, value] : statement.assignments) values.push_back(evaluate(*value));
  const InnerScope inner(*this);
  for (size_t i = 0; i < values.size(); ++i) assign(*statement.assignments[i].first, values[i]);
  return run(statement.body);
}

void Evaluator::run_generation(const Statement& statement) {
  const bool is_output = out_ == &rendered_.text;
  if (!is_output && input_.wants_generation)
    fail("{% generation %} in a macro or a captured block: where its text goes is not known here");
  const InnerScope inner(*this);
  const size_t begin = out_->size();
  run(statement.body);
  if (is_output) rendered_.generation.push_back({begin, out_->size()});
}

void Evaluator::assign(const Expression& target, const Value& value) {
  if (target.kind == Expression::Kind::name) {
    scope_->values[target.name] = value;
  } else if (target.kind == Expression::Kind::space_name) {
    Namespace* space = look_up(target.name).name_space();
    if (space == nullptr)
      fail("cannot set ", target.name, ".", target.operators[0], ": ", target.name, " is no namespace");
    if (target.operators[0].starts_with('_')) fail("names in a namespace do not begin with \"_\"");
    space->attributes[target.operators[0]] = value;
  } else {
    const auto items = iterate(value);
    if (items->items.size() != target.operands.size()) {
      fail("expected ", target.operands.size(), " values to assign, found ", items->items.size());
    }
    for (size_t i = 0; i < items->items.size(); ++i) assign(*target.operands[i], items->items[i]);
  }
}

std::string Evaluator::capture(const Body& body, Flow& flow) {
  const InnerScope inner(*this);
  std::string text;
  std::string* const before = std::exchange(out_, &text);
  try {
    flow = run(body);
  } catch (...) {
    out_ = before;
    throw;
  }
  out_ = before;
  return text;
}

Value Evaluator::filter_body(const Expression* filters, std::string text) {
  if (filters == nullptr) return Value(std::move(text));
  bodies_.emplace_back(std::move(text));
  Value result = evaluate(*filters);
  bodies_.pop_back();
  return result;
}

Value Evaluator::make_macro(const Statement& macro, std::string name) {
  charge(256);
  captured_.push_back(scope_);
  return std::make_shared<const Callable>(
      Callable{.name = std::move(name), .macro = &macro, .scope = scope_});
}

Value Evaluator::call_macro(const Callable& macro, const Arguments& arguments) {
  const auto& parameters = macro.macro->parameters;
  if (arguments.positional.size() > parameters.size()) {
    fail("macro \"", macro.name, "\": expected at most ", parameters.size(), " arguments, found ",
         arguments.positional.size());
  }
  const InnerScope inner(*this, macro.scope.lock());
  for (const auto& [name, value] : arguments.named) {
    const bool is_known = std::ranges::find(parameters, name, &Parameter::name) != parameters.end();
    if (!is_known && name != "caller") fail("macro \"", macro.name, "\" has no parameter \"", name, "\"");
    scope_->values[name] = value;
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& parameter = parameters[i];
    if (i < arguments.positional.size()) {
      if (scope_->values.contains(parameter.name))
        fail("macro \"", macro.name, "\": argument \"", parameter.name, "\" is given twice");
      scope_->values[parameter.name] = arguments.positional[i];
    } else if (!scope_->values.contains(parameter.name)) {
      scope_->values[parameter.name] =
          parameter.fallback != nullptr
              ? evaluate(*parameter.fallback)
              : Value::undefined(cat("parameter '", parameter.name, "' was not provided"));
    }
  }
  const int line = line_;
  Flow flow = Flow::next;
  std::string text = capture(macro.macro->body, flow);
  line_ = line;
  return Value(std::move(text));
}

}  // namespace rotor::text::jinja
