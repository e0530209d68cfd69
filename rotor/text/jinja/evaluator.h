// Runs a parsed template. Templates are programs that nobody here trusts: work, depth, sizes and output are
// limited, and there is nothing but values in their reach.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rotor/text/jinja/ast.h"
#include "rotor/text/jinja/callable.h"
#include "rotor/text/jinja/value.h"

namespace rotor::text::jinja {

/// About a byte written or 1/32 of a node evaluated: some seconds.
inline constexpr size_t kMaxWork = size_t{1} << 30;
/// How deep evaluation may be in itself, macros included.
inline constexpr int kMaxRecursion = 800;

/// Variables by name, and where names are looked for that are not here.
struct Scope {
  std::map<std::string, Value, std::less<>> values = {};
  std::shared_ptr<Scope> outer = {};
};

/// Bytes [begin, end) of a rendered text.
struct Span {
  size_t begin, end;
  bool operator==(const Span&) const = default;
};

struct Rendered {
  std::string text;
  std::vector<Span> generation;  ///< what stood between {% generation %} and {% endgeneration %}
};

struct RenderInput {
  Value variables;                            ///< a dict
  std::chrono::system_clock::time_point now;  ///< for strftime_now
  size_t max_work = kMaxWork;
  bool wants_generation = false;  ///< else Rendered::generation may lack something
};

class Evaluator {
 public:
  /// Both outlive it.
  Evaluator(const ParsedTemplate& parsed, const RenderInput& input);
  ~Evaluator();
  Evaluator(const Evaluator&) = delete;
  Evaluator& operator=(const Evaluator&) = delete;

  /// Once. Throws Error "line N: ...".
  Rendered render();

  /// Below: for functions, filters and tests.

  /// Throws Error when the work done gets too much.
  void charge(size_t work);
  Value call(const Value& callee, const Arguments& arguments);
  Value call_filter(const std::string& name, const Value& input, const Arguments& arguments);
  /// object.name and object[key], with Jinja2's fallback of each on the other. Undefined if there is none.
  Value attribute(const Value& object, const std::string& name);
  Value item(const Value& object, const Value& key);
  /// "a.b.0" of `object`; on the way `fallback`, unless it is undefined or none, stands for what is missing.
  Value attribute_path(const Value& object, const Value& path, const Value& fallback = {});
  Value make_namespace(const Arguments& arguments);
  std::chrono::system_clock::time_point now() const { return input_.now; }

 private:
  enum class Flow { next, break_loop, continue_loop };
  /// Counts how deep evaluation is in itself while it lives.
  class Nested {
   public:
    explicit Nested(Evaluator& evaluator);
    ~Nested() { --evaluator_.depth_; }
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;

   private:
    Evaluator& evaluator_;
  };
  class InnerScope;

  // statements.cpp
  Flow run(const Body& body);
  Flow run(const Statement& statement);
  Flow run_loop(const Statement& loop);
  Flow run_with(const Statement& statement);
  void run_generation(const Statement& statement);
  void assign(const Expression& target, const Value& value);
  void write(std::string_view text);
  /// What `body` writes, in a scope of its own.
  std::string capture(const Body& body, Flow& flow);
  Value filter_body(const Expression* filters, std::string text);
  Value make_macro(const Statement& macro, std::string name);
  Value call_macro(const Callable& macro, const Arguments& arguments);

  // expressions.cpp
  Value evaluate(const Expression& expression);
  Value evaluate_binary(const Expression& expression);
  Value evaluate_comparison(const Expression& expression);
  Value evaluate_concat(const Expression& expression);
  Value evaluate_item(const Expression& expression);
  Value look_up(const std::string& name);
  Items evaluate_all(const Expression& expression, size_t first);
  Arguments evaluate_arguments(const Expression& call);
  std::optional<Value> own_attribute(const Value& object, const std::string& name);

  const ParsedTemplate& parsed_;
  const RenderInput& input_;
  size_t work_ = 0;
  int depth_ = 0;
  int line_ = 1;
  std::shared_ptr<Scope> scope_;
  Rendered rendered_;
  std::string* out_;           // what is written to: the text of rendered_, or of a captured block
  std::vector<Value> bodies_;  // of blocks whose filters are being evaluated
  // Scopes and namespaces may come to hold themselves: they are emptied in the end.
  std::vector<std::shared_ptr<Scope>> captured_;
  std::vector<Value> namespaces_;
};

}  // namespace rotor::text::jinja
