// RFC 8259's grammar as a machine of states.
#include "runtime/server/api/json_scanner.h"

namespace rotor::runtime::server {
namespace {

bool is_space(char byte) {
  return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

bool is_digit(char byte) {
  return byte >= '0' && byte <= '9';
}

bool is_hex(char byte) {
  return is_digit(byte) || (byte >= 'a' && byte <= 'f') || (byte >= 'A' && byte <= 'F');
}

/// How far `number` is: 0 a beginning that needs more, 1 a whole number, -1 neither.
int judge_number(std::string_view number) {
  size_t i = number.starts_with('-') ? 1 : 0;
  const auto digits = [&] {
    const size_t begin = i;
    while (i < number.size() && is_digit(number[i])) ++i;
    return i - begin;
  };
  const bool starts_with_zero = number.substr(i).starts_with('0');
  const size_t whole = digits();
  if (whole == 0) return i == number.size() ? 0 : -1;
  if (starts_with_zero && whole > 1) return -1;
  if (i < number.size() && number[i] == '.') {
    ++i;
    if (digits() == 0) return i == number.size() ? 0 : -1;
  }
  if (i < number.size() && (number[i] == 'e' || number[i] == 'E')) {
    ++i;
    if (i < number.size() && (number[i] == '+' || number[i] == '-')) ++i;
    if (digits() == 0) return i == number.size() ? 0 : -1;
  }
  return i == number.size() ? 1 : -1;
}

}  // namespace

JsonScanner::State JsonScanner::push(char byte) {
  if (state_ == State::whole && !is_space(byte)) state_ = State::broken;
  if (state_ == State::open) state_ = step(byte);
  return state_;
}

JsonScanner::State JsonScanner::step(char byte) {
  if (in_text()) return step_text(byte);
  if (part_ == Part::number) return step_number(byte);
  if (part_ == Part::literal) {
    if (byte != literal_.front()) return State::broken;
    literal_.remove_prefix(1);
    return literal_.empty() ? end_value() : State::open;
  }
  if (is_space(byte)) return State::open;
  switch (part_) {
    case Part::first_item:
      if (byte == ']') return close();
      return begin_value(byte);
    case Part::first_key:
      if (byte == '}') return close();
      [[fallthrough]];
    case Part::key:
      is_key_ = true;
      part_ = Part::text;
      return byte == '"' ? State::open : State::broken;
    case Part::colon:
      part_ = Part::value;
      return byte == ':' ? State::open : State::broken;
    case Part::behind:
      return behind_value(byte);
    default:
      return begin_value(byte);
  }
}

JsonScanner::State JsonScanner::begin_value(char byte) {
  if (byte == '{' || byte == '[') {
    if (open_.size() == kMaxDepth) return State::broken;
    open_ += byte;
    part_ = byte == '{' ? Part::first_key : Part::first_item;
    return State::open;
  }
  if (byte == '"') {
    is_key_ = false;
    part_ = Part::text;
    return State::open;
  }
  if (byte == '-' || is_digit(byte)) {
    part_ = Part::number;
    number_ = byte;
    return State::open;
  }
  for (const std::string_view literal : {"true", "false", "null"}) {
    if (byte != literal.front()) continue;
    part_ = Part::literal;
    literal_ = literal.substr(1);
    return State::open;
  }
  return State::broken;
}

JsonScanner::State JsonScanner::behind_value(char byte) {
  const bool in_object = open_.back() == '{';
  if (byte == ',') {
    part_ = in_object ? Part::key : Part::value;
    return State::open;
  }
  return byte == (in_object ? '}' : ']') ? close() : State::broken;
}

JsonScanner::State JsonScanner::step_text(char byte) {
  if (part_ == Part::hex) {
    if (!is_hex(byte)) return State::broken;
    if (--hex_digits_ == 0) part_ = Part::text;
    return State::open;
  }
  if (part_ == Part::escape) {
    part_ = byte == 'u' ? Part::hex : Part::text;
    hex_digits_ = 4;
    return std::string_view("\"\\/bfnrtu").find(byte) == std::string_view::npos ? State::broken : State::open;
  }
  if (static_cast<unsigned char>(byte) < 0x20) return State::broken;
  if (byte == '\\') part_ = Part::escape;
  if (byte != '"') return State::open;
  if (!is_key_) return end_value();
  part_ = Part::colon;
  return State::open;
}

JsonScanner::State JsonScanner::step_number(char byte) {
  constexpr size_t kMaxDigits = 1000;
  number_ += byte;
  if (number_.size() < kMaxDigits && judge_number(number_) >= 0) return State::open;
  number_.pop_back();
  if (judge_number(number_) != 1) return State::broken;
  if (end_value() == State::whole) return is_space(byte) ? State::whole : State::broken;
  return is_space(byte) ? State::open : behind_value(byte);
}

JsonScanner::State JsonScanner::close() {
  open_.pop_back();
  return end_value();
}

JsonScanner::State JsonScanner::end_value() {
  part_ = Part::behind;
  return open_.empty() ? State::whole : State::open;
}

bool is_json(std::string_view text) {
  JsonScanner scanner;
  for (const char byte : text) {
    if (scanner.push(byte) == JsonScanner::State::broken) return false;
  }
  return scanner.push(' ') == JsonScanner::State::whole;
}

}  // namespace rotor::runtime::server
