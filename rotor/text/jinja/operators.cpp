// Python's arithmetic: integers are exact (here up to 64 bits), "/" gives a float, "//" and "%" round down.
#include "rotor/text/jinja/operators.h"

#include <algorithm>
#include <cmath>

#include "rotor/core/error.h"
#include "rotor/text/jinja/python_text.h"

namespace rotor::text::jinja {
namespace {

[[noreturn]] void fail_overflow() {
  fail("an integer does not fit into 64 bits");
}

int64_t floor_divide(int64_t a, int64_t b) {
  if (b == 0) fail("division by zero");
  if (b == -1) {
    int64_t result = 0;
    if (__builtin_sub_overflow(int64_t{0}, a, &result)) fail_overflow();
    return result;
  }
  return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

Value power(int64_t a, int64_t b) {
  if (b < 0) {
    if (a == 0) fail("0 to a negative power");
    return std::pow(static_cast<double>(a), static_cast<double>(b));
  }
  if (a == 0 || a == 1) return b == 0 ? 1 : a;
  if (a == -1) return b % 2 == 0 ? 1 : -1;
  int64_t result = 1;
  for (; b > 0; --b) {
    if (__builtin_mul_overflow(result, a, &result)) fail_overflow();
  }
  return result;
}

Value integer_operation(std::string_view op, int64_t a, int64_t b) {
  int64_t result = 0;
  if (op == "+"   ? __builtin_add_overflow(a, b, &result)
      : op == "-" ? __builtin_sub_overflow(a, b, &result)
                  : op == "*" && __builtin_mul_overflow(a, b, &result))
    fail_overflow();
  if (op == "+" || op == "-" || op == "*") return result;
  if (op == "**") return power(a, b);
  if (op == "/") {
    if (b == 0) fail("division by zero");
    return static_cast<double>(a) / static_cast<double>(b);
  }
  if (op == "//") return floor_divide(a, b);
  return b == -1 ? Value(0) : Value(a - floor_divide(a, b) * b);
}

Value real_operation(std::string_view op, double a, double b) {
  if (op == "+") return a + b;
  if (op == "-") return a - b;
  if (op == "*") return a * b;
  if (op == "**") {
    if (a == 0 && b < 0) fail("0 to a negative power");
    const double result = std::pow(a, b);
    if (a < 0 && std::isnan(result)) fail("a negative number to a broken power");
    if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) fail("a power is too large");
    return result;
  }
  if (b == 0) fail("division by zero");
  if (op == "/") return a / b;
  double rest = std::fmod(a, b);
  if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
  if (op == "%") return rest == 0 ? std::copysign(0.0, b) : rest;
  return std::round((a - rest) / b);
}

Value repeat_value(const Value& value, int64_t count) {
  if (value.is_text()) return Value(repeat(value.text(), count), value.is_safe());
  const Items& items = value.sequence()->items;
  Items result;
  if (count > 0 && items.size() > kMaxItems / static_cast<size_t>(count))
    fail("a list of more than ", kMaxItems, " items is made");
  for (; count > 0 && !items.empty(); --count) result.insert(result.end(), items.begin(), items.end());
  return make_sequence(value.sequence()->type, std::move(result));
}

bool is_array(const Value& value) {
  return value.sequence() != nullptr && value.sequence()->type <= Sequence::Type::tuple;
}

/// "+" of two texts, of which what is not safe is escaped if the other one is.
Value add_texts(const Value& a, const Value& b) {
  const bool is_safe = a.is_safe() || b.is_safe();
  const auto part = [&](const Value& x) {
    return is_safe && !x.is_safe() ? escape_html(x.text()) : x.text();
  };
  return Value(part(a) + part(b), is_safe);
}

bool contains(const Value& container, const Value& value) {
  if (container.is_text()) {
    value.require_defined();
    if (!value.is_text()) fail("\"in\" a text: expected a text before it, found ", value.type_name());
    return container.text().find(value.text()) != std::string::npos;
  }
  if (const Dict* dict = container.dict()) {
    if (value.sequence() != nullptr || value.dict() != nullptr)
      fail("a value of type ", value.type_name(), " is no key of a dict");
    return dict->find(value) != nullptr;
  }
  return std::ranges::any_of(iterate(container)->items, [&](const Value& x) { return is_equal(x, value); });
}

/// Where a slice begins and ends among `length` items.
int64_t bound(const Value& value, int64_t fallback, int64_t length, int64_t least, int64_t most) {
  if (value.is_none()) return fallback;
  value.require_defined();
  if (!value.is_integral()) fail("a slice: expected an integer, found ", value.type_name());
  int64_t index = value.integer();
  if (index < 0) index = index < -length ? least : index + length;
  return std::clamp(index, least, most);
}

}  // namespace

Value calculate(std::string_view op, const Value& a, const Value& b) {
  a.require_defined();
  if (op == "%" && a.is_text()) return Value(format_percent(a.text(), b), a.is_safe());
  b.require_defined();
  if (a.is_integral() && b.is_integral()) return integer_operation(op, a.integer(), b.integer());
  if (a.is_number() && b.is_number()) return real_operation(op, a.number(), b.number());
  if (op == "+" && a.is_text() && b.is_text()) return add_texts(a, b);
  if (op == "+" && is_array(a) && is_array(b) && a.sequence()->type == b.sequence()->type) {
    Items items = a.sequence()->items;
    items.insert(items.end(), b.sequence()->items.begin(), b.sequence()->items.end());
    return make_sequence(a.sequence()->type, std::move(items));
  }
  if (op == "*" && (a.is_text() || is_array(a)) && b.is_integral()) return repeat_value(a, b.integer());
  if (op == "*" && (b.is_text() || is_array(b)) && a.is_integral()) return repeat_value(b, a.integer());
  fail("\"", op, "\" is not defined for types ", a.type_name(), " and ", b.type_name());
}

Value calculate(std::string_view op, const Value& a) {
  a.require_defined();
  if (!a.is_number()) fail("\"", op, "\" is not defined for type ", a.type_name());
  if (op == "+") return a.is_integral() ? Value(a.integer()) : a;
  if (a.is_real()) return -a.number();
  return integer_operation("-", 0, a.integer());
}

bool compare(std::string_view op, const Value& a, const Value& b) {
  if (op == "==") return is_equal(a, b);
  if (op == "!=") return !is_equal(a, b);
  if (op == "in") return contains(b, a);
  if (op == "not in") return !contains(b, a);
  // Not-a-number is neither less nor more.
  if (a.is_number() && b.is_number() && (std::isnan(a.number()) || std::isnan(b.number()))) return false;
  const int order = compare(a, b);
  if (op == "<") return order < 0;
  if (op == "<=") return order <= 0;
  return op == ">" ? order > 0 : order >= 0;
}

Value slice(const Value& container, const Value& begin, const Value& end, const Value& step) {
  const Sequence* sequence = container.sequence();
  const bool is_sliced = sequence != nullptr && sequence->type <= Sequence::Type::range;
  if (!container.is_text() && !is_sliced) fail("a value of type ", container.type_name(), " has no slices");
  const auto characters =
      container.is_text() ? split_characters(container.text()) : std::vector<std::string_view>();
  const auto length = static_cast<int64_t>(is_sliced ? sequence->items.size() : characters.size());
  step.require_defined();
  if (!step.is_none() && !step.is_integral()) fail("a slice: expected an integer, found ", step.type_name());
  const int64_t stride = step.is_none() ? 1 : std::clamp<int64_t>(step.integer(), -(1LL << 40), 1LL << 40);
  if (stride == 0) fail("a slice: expected a step other than 0");
  const int64_t least = stride > 0 ? 0 : -1;
  const int64_t most = stride > 0 ? length : length - 1;
  const int64_t first = bound(begin, stride > 0 ? 0 : length - 1, length, least, most);
  const int64_t last = bound(end, stride > 0 ? length : -1, length, least, most);
  std::string text;
  Items items;
  for (int64_t i = first; stride > 0 ? i < last : i > last; i += stride) {
    if (is_sliced) {
      items.push_back(sequence->items[static_cast<size_t>(i)]);
    } else {
      text += characters[static_cast<size_t>(i)];
    }
  }
  if (!is_sliced) return Value(std::move(text), container.is_safe());
  if (sequence->type == Sequence::Type::tuple) return make_tuple(std::move(items));
  return make_list(std::move(items));
}

}  // namespace rotor::text::jinja
