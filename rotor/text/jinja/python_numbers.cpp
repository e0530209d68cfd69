// Numbers as Python writes and reads them.
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "rotor/core/error.h"
#include "rotor/text/jinja/python_text.h"

namespace rotor::text::jinja {
namespace {

/// Digits of numbers in texts may have single underscores between them.
bool remove_underscores(std::string& text) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') continue;
    const bool is_inside = i > 0 && i + 1 < text.size() &&
                           std::isalnum(static_cast<unsigned char>(text[i - 1])) != 0 &&
                           std::isalnum(static_cast<unsigned char>(text[i + 1])) != 0;
    if (!is_inside) return false;
  }
  std::erase(text, '_');
  return true;
}

}  // namespace

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 64> buffer{};
  const double magnitude = std::abs(value);
  const bool is_plain = magnitude == 0 || (magnitude >= 1e-4 && magnitude < 1e16);
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 is_plain ? std::chars_format::fixed : std::chars_format::scientific)
                       .ptr;
  std::string text(buffer.data(), end);
  if (is_plain && text.find('.') == std::string::npos) text += ".0";
  return text;
}

bool parse_integer(std::string_view text, int64_t base, int64_t& value) {
  std::string digits(strip(text, Side::both));
  bool is_negative = false;
  if (!digits.empty() && (digits[0] == '-' || digits[0] == '+')) {
    is_negative = digits[0] == '-';
    digits.erase(0, 1);
  }
  if (digits.size() > 1 && digits[0] == '0') {
    const char mark = static_cast<char>(std::tolower(static_cast<unsigned char>(digits[1])));
    const int64_t named = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
    if (named != 0 && (base == 0 || base == named)) {
      base = named;
      digits.erase(0, digits.size() > 2 && digits[2] == '_' ? 3 : 2);
    }
  }
  if (base == 0) base = 10;
  if (base < 2 || base > 36 || digits.empty() || digits[0] == '-' || !remove_underscores(digits))
    return false;
  if (is_negative) digits.insert(0, 1, '-');
  const char* end = digits.data() + digits.size();
  const auto result = std::from_chars(digits.data(), end, value, static_cast<int>(base));
  if (result.ec == std::errc::result_out_of_range && result.ptr == end)
    fail("an integer does not fit into 64 bits: ", digits.substr(0, 40));
  return result.ec == std::errc() && result.ptr == end;
}

bool parse_float(std::string_view text, double& value) {
  std::string digits(strip(text, Side::both));
  if (!remove_underscores(digits)) return false;
  if (digits.starts_with('+') && !digits.starts_with("+-")) digits.erase(0, 1);
  const char* end = digits.data() + digits.size();
  const auto result = std::from_chars(digits.data(), end, value);
  if (result.ptr != end || digits.empty() || digits.find('(') != std::string::npos) return false;
  if (result.ec == std::errc::result_out_of_range) value = std::strtod(digits.c_str(), nullptr);
  return result.ec != std::errc::invalid_argument;
}

}  // namespace rotor::text::jinja
