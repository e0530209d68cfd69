// What a template can call: functions, methods of values, macros; and how their arguments meet parameters.
#pragma once

#include <array>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rotor/text/jinja/ast.h"
#include "rotor/text/jinja/value.h"

namespace rotor::text::jinja {

class Evaluator;
struct Scope;

struct Arguments {
  Items positional = {};
  std::vector<std::pair<std::string, Value>> named = {};
};

/// `self`: the value whose method or filter it is; undefined for functions.
using Function = Value (*)(Evaluator& evaluator, const Value& self, const Arguments& arguments);
using FunctionTable = std::map<std::string, Function, std::less<>>;

struct Callable {
  std::string name;
  Value self = {};
  Function function = nullptr;       ///< or:
  const Statement* macro = nullptr;  ///< a macro, or the body of a {% call %}
  std::weak_ptr<Scope> scope = {};   ///< where the macro stands; the evaluator keeps it
};

/// The arguments of a call, in the order of the parameters' names.
class Bound {
 public:
  /// Throws Error naming `what` for arguments too many, missing (of the first `required`) or unknown.
  Bound(std::string_view what, const Arguments& arguments, std::initializer_list<std::string_view> names,
        size_t required = 0);

  bool has(size_t i) const { return values_[i] != nullptr; }
  /// Undefined if it is not given.
  const Value& operator[](size_t i) const;
  /// Each throws Error if the argument is of another kind.
  std::string text(size_t i, std::string_view fallback) const;
  int64_t integer(size_t i, int64_t fallback) const;
  bool boolean(size_t i, bool fallback) const;

 private:
  [[noreturn]] void complain(size_t i, std::string_view expected) const;

  std::string what_;
  std::vector<std::string_view> names_;
  std::array<const Value*, 6> values_{};
};

/// nullptr if there is none of that name. The function of a name that Jinja2 or Python have and this has not
/// throws Error saying so.
Function find_filter(std::string_view name);
Function find_function(std::string_view name);
/// A method of `self`, bound to it; nothing if its type has none of that name, and undefined if it has, but
/// the method would change `self`.
std::optional<Value> find_method(const Value& self, const std::string& name);

/// Whether `value` passes the test `name`. Throws Error for an unknown test.
bool run_test(Evaluator& evaluator, std::string_view name, const Value& value, const Arguments& arguments);

/// The tables that find_filter() looks into.
const FunctionTable& text_filters();
const FunctionTable& number_filters();
const FunctionTable& sequence_filters();

}  // namespace rotor::text::jinja
