// "%s has %d" % ("x", 3): Python's printf-style formatting.
#include <array>
#include <cmath>
#include <cstdio>

#include "rotor/core/error.h"
#include "rotor/text/jinja/operators.h"
#include "rotor/text/jinja/python_text.h"

namespace rotor::text::jinja {
namespace {

constexpr int kMaxWidth = 1000;

/// The part of a format from "%" to its letter.
struct Conversion {
  std::string flags;
  int width = 0;
  int precision = -1;
  char letter = '\0';
};

class Formatter {
 public:
  Formatter(const std::string& format, const Value& values) : format_(format), values_(values) {}

  std::string run() {
    while (at_ < format_.size()) {
      const size_t percent = std::min(format_.find('%', at_), format_.size());
      result_ += format_.substr(at_, percent - at_);
      at_ = percent;
      if (at_ < format_.size()) convert();
      if (result_.size() > kMaxTextBytes) fail("a text gets longer than ", kMaxTextBytes, " bytes");
    }
    const bool takes_all = values_.dict() == nullptr && !is_named_;
    if (takes_all && used_ != count()) fail("format: expected ", used_, " values, found ", count());
    return std::move(result_);
  }

 private:
  bool is_tuple() const {
    return values_.sequence() != nullptr && values_.sequence()->type == Sequence::Type::tuple;
  }
  size_t count() const { return is_tuple() ? values_.sequence()->items.size() : 1; }

  Value next_value() {
    if (used_ >= count()) fail("format: there are more conversions than values");
    return is_tuple() ? values_.sequence()->items[used_++] : (++used_, values_);
  }

  char next() {
    if (at_ >= format_.size()) fail("format: a conversion is not complete");
    return format_[at_++];
  }

  int number() {
    int value = 0;
    while (at_ < format_.size() && format_[at_] >= '0' && format_[at_] <= '9')
      value = std::min(value * 10 + (format_[at_++] - '0'), kMaxWidth + 1);
    if (value > kMaxWidth) fail("format: expected a width of at most ", kMaxWidth);
    return value;
  }

  void convert() {
    ++at_;
    Conversion conversion;
    Value named;
    if (at_ < format_.size() && format_[at_] == '(') {
      const size_t end = format_.find(')', at_);
      if (end == std::string::npos || values_.dict() == nullptr)
        fail("format: expected a dict for a named value");
      const Value* found = values_.dict()->find(format_.substr(at_ + 1, end - at_ - 1));
      if (found == nullptr) fail("format: there is no value ", quote(format_.substr(at_ + 1, end - at_ - 1)));
      named = *found;
      is_named_ = true;
      at_ = end + 1;
    }
    while (at_ < format_.size() && std::string_view("-+ 0#").find(format_[at_]) != std::string_view::npos)
      conversion.flags += format_[at_++];
    conversion.width = number();
    if (at_ < format_.size() && format_[at_] == '.') {
      ++at_;
      conversion.precision = number();
    }
    conversion.letter = next();
    if (conversion.letter == '%') {
      result_ += '%';
    } else {
      write(conversion, is_named_ ? named : next_value());
    }
  }

  void write(const Conversion& conversion, const Value& value) {
    std::string text;
    switch (conversion.letter) {
      case 's':
      case 'r':
        text = conversion.letter == 's' ? to_text(value) : to_literal(value);
        if (conversion.precision >= 0) text = std::string(substring(text, 0, conversion.precision));
        break;
      case 'd':
      case 'i':
      case 'x':
      case 'X':
      case 'o':
        text = integer_text(conversion, value);
        break;
      case 'f':
      case 'e':
      case 'g':
      case 'E':
      case 'G':
      case 'F':
        text = real_text(conversion, value);
        break;
      default:
        fail("format: the conversion %", conversion.letter, " is not supported");
    }
    const std::string space = repeat(" ", conversion.width - static_cast<int64_t>(count_characters(text)));
    const bool at_left = conversion.flags.find('-') != std::string::npos;
    result_ += at_left ? text + space : space + text;
  }

  /// printf's format of a number, `type` before its letter.
  static std::string number_format(const Conversion& conversion, const char* type) {
    return cat("%", conversion.flags, conversion.width > 0 ? cat(conversion.width) : "",
               conversion.precision >= 0 ? cat(".", conversion.precision) : "", type, conversion.letter);
  }

  static std::string integer_text(const Conversion& conversion, const Value& value) {
    value.require_defined();
    const bool is_decimal = conversion.letter == 'd' || conversion.letter == 'i';
    if (!value.is_integral() && !(value.is_real() && is_decimal && std::abs(value.number()) < 9e18))
      fail("format: %", conversion.letter, ": expected an integer, found ", value.type_name());
    const int64_t integer = value.is_real() ? static_cast<int64_t>(value.number()) : value.integer();
    if (!is_decimal && (integer < 0 || conversion.flags.find('#') != std::string::npos))
      fail("format: %", conversion.letter, " of a negative number, and %#, are not supported");
    return print(number_format(conversion, "ll"), static_cast<long long>(integer));
  }

  static std::string real_text(const Conversion& conversion, const Value& value) {
    value.require_defined();
    if (!value.is_number())
      fail("format: %", conversion.letter, ": expected a number, found ", value.type_name());
    return print(number_format(conversion, ""), value.number());
  }

  template <class Number>
  static std::string print(const std::string& format, Number number) {
    std::array<char, 2 * kMaxWidth + 400> buffer{};
    const int length = std::snprintf(buffer.data(), buffer.size(), format.c_str(), number);
    return {buffer.data(), static_cast<size_t>(length)};
  }

  const std::string& format_;
  const Value& values_;
  size_t at_ = 0;
  size_t used_ = 0;
  bool is_named_ = false;
  std::string result_;
};

}  // namespace

std::string format_percent(const std::string& format, const Value& values) {
  return Formatter(format, values).run();
}

}  // namespace rotor::text::jinja
