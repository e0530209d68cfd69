// What operators and printing make of values, as in Python.
#pragma once

#include <string>
#include <string_view>

#include "rotor/text/jinja/value.h"

namespace rotor::text::jinja {

/// `op`: + - * / // % **. Throws Error for kinds that have no such operator, a division by zero, and integers
/// beyond 64 bits.
Value calculate(std::string_view op, const Value& a, const Value& b);
/// `op`: - or +.
Value calculate(std::string_view op, const Value& a);
/// `op`: == != < <= > >= in, not in.
bool compare(std::string_view op, const Value& a, const Value& b);
/// container[begin:end:step], each of which may be none. Throws Error if it has no slices.
Value slice(const Value& container, const Value& begin, const Value& end, const Value& step);

/// How it prints. Throws Error for functions and generators, which print an address in Python.
std::string to_text(const Value& value);
/// How it prints inside of a list.
std::string to_literal(const Value& value);
/// The same as to_text(), and whether it is safe to print in HTML.
Value to_text_value(const Value& value);

/// "%d %s" % values: a tuple, a dict, or one value.
std::string format_percent(const std::string& format, const Value& values);

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  bool has_indent = false;
  std::string indent;
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};
/// As Python's json.dumps. Throws Error for values that JSON has not.
std::string to_json(const Value& value, const JsonStyle& style);

}  // namespace rotor::text::jinja
