// Filters that give numbers, and those for any value.
#include <cmath>
#include <cstdio>
#include <limits>

#include "rotor/core/error.h"
#include "rotor/text/jinja/callable.h"
#include "rotor/text/jinja/operators.h"
#include "rotor/text/jinja/python_text.h"

namespace rotor::text::jinja {
namespace {

/// The integer part. Throws Error if it does not fit.
int64_t truncate(double value) {
  const double whole = std::trunc(value);
  if (!(std::abs(whole) < 9.2e18)) fail("an integer does not fit into 64 bits");
  return static_cast<int64_t>(whole);
}

Value to_integer(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound bound("int", arguments, {"default", "base"});
  self.require_defined();
  const Value fallback = bound.has(0) ? bound[0] : Value(0);
  if (self.is_integral()) return self.integer();
  double real = 0;
  if (self.is_real()) {
    if (std::isnan(self.number())) return fallback;
    return truncate(self.number());
  }
  if (!self.is_text()) return fallback;
  int64_t integer = 0;
  if (parse_integer(self.text(), bound.integer(1, 10), integer)) return integer;
  if (!parse_float(self.text(), real) || !std::isfinite(real)) return fallback;
  return truncate(real);
}

Value to_float(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound bound("float", arguments, {"default"});
  self.require_defined();
  if (self.is_number()) return self.number();
  double real = 0;
  if (self.is_text() && parse_float(self.text(), real)) return real;
  return bound.has(0) ? bound[0] : Value(0.0);
}

Value absolute(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound none("abs", arguments, {});
  self.require_defined();
  if (!self.is_number()) fail("abs: expected a number, found ", self.type_name());
  if (self.is_real()) return std::abs(self.number());
  return self.integer() < 0 ? calculate("-", self) : Value(self.integer());
}

/// To `precision` decimal digits, half to even, by the value's exact decimals.
double round_decimal(double value, int64_t precision) {
  if (!std::isfinite(value)) return value;
  if (precision < 0) {
    const double scale = std::pow(10.0, static_cast<double>(-std::max<int64_t>(precision, -400)));
    return std::isinf(scale) ? 0.0 * value : std::nearbyint(value / scale) * scale;
  }
  std::string digits(420, '\0');
  const int length = std::snprintf(digits.data(), digits.size(), "%.*f",
                                   static_cast<int>(std::min<int64_t>(precision, 60)), value);
  digits.resize(static_cast<size_t>(length));
  double result = value;
  parse_float(digits, result);
  return result;
}

Value round_filter(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound bound("round", arguments, {"precision", "method"});
  self.require_defined();
  const int64_t precision = bound.integer(0, 0);
  const std::string method = bound.text(1, "common");
  if (method != "common" && method != "ceil" && method != "floor")
    fail("round: method: expected common, ceil or floor, found ", quote(method));
  if (!self.is_number()) fail("round: expected a number, found ", self.type_name());
  if (method == "common") {
    if (self.is_real()) return round_decimal(self.number(), precision);
    if (precision >= 0) return self.integer();
    return truncate(round_decimal(self.number(), precision));
  }
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = self.number() * scale;
  return (method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale;
}

Value default_filter(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound bound("default", arguments, {"default_value", "boolean"});
  const bool is_missing = self.is_undefined() || (bound.boolean(1, false) && !is_true(self));
  if (!is_missing) return self;
  return bound.has(0) ? bound[0] : Value("");
}

}  // namespace

const FunctionTable& number_filters() {
  static const FunctionTable kFilters = {{"int", to_integer},         {"float", to_float},
                                         {"abs", absolute},           {"round", round_filter},
                                         {"default", default_filter}, {"d", default_filter}};
  return kFilters;
}

}  // namespace rotor::text::jinja
