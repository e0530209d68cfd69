// The rules on white space are those of Jinja2 3.1: "-" in a tag takes away all white space on its side; a
// line's white space before a block or comment goes, unless it has "+", and so does the new line behind it.
#include "rotor/text/jinja/lexer.h"

#include <array>
#include <optional>

#include "rotor/core/error.h"
#include "rotor/text/jinja/python_text.h"

namespace rotor::text::jinja {
namespace {

using Type = Token::Type;

/// New lines as "\n", and without the last one.
std::string normalize_newlines(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') continue;
    text += source[i] == '\r' ? '\n' : source[i];
  }
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

bool is_name_byte(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || static_cast<uint8_t>(c) >= 0x80;
}
bool is_decimal(char c) {
  return c >= '0' && c <= '9';
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalize_newlines(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) read_text();
    add(Type::end);
    return std::move(tokens_);
  }

 private:
  template <class... Args>
  [[noreturn]] void complain(const Args&... args) const {
    fail("line ", line_, ": ", args...);
  }
  bool sees(std::string_view text) const { return std::string_view(source_).substr(at_).starts_with(text); }
  void add(Type type, std::string text = "", Value number = {}) {
    tokens_.push_back({type, line_, std::move(text), std::move(number)});
  }
  /// Goes `count` bytes on.
  void skip(size_t count) {
    for (; count > 0; --count) line_ += source_[at_++] == '\n' ? 1 : 0;
  }
  void skip_space() {
    const auto rest = std::string_view(source_).substr(at_);
    skip(rest.size() - strip(rest, Side::left).size());
  }

  /// Adds the text from here to `tag`, where a tag with `sign` begins; `lines_stay`: it prints something, so
  /// what stands before it in its line stays.
  void add_text(size_t tag, char sign, bool lines_stay) {
    std::string_view text = std::string_view(source_).substr(at_, tag - at_);
    const int line = line_;
    if (sign == '-') {
      text = strip(text, Side::right);
    } else if (sign != '+' && !lines_stay) {
      const size_t newline = text.rfind('\n');
      const size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
      const bool begins_line = line_begin > 0 || at_ == 0 || source_[at_ - 1] == '\n';
      if (begins_line && strip(text.substr(line_begin), Side::both).empty())
        text = text.substr(0, line_begin);
    }
    if (!text.empty()) tokens_.push_back({Type::text, line, std::string(text), {}});
    skip(tag - at_);
  }

  /// At the end of a block or comment, `end` of it: takes it and what belongs to it.
  bool take_end(std::string_view end) {
    const char sign = sees("-") || sees("+") ? source_[at_] : '\0';
    if (!std::string_view(source_).substr(at_ + (sign == '\0' ? 0 : 1)).starts_with(end)) return false;
    skip(end.size() + (sign == '\0' ? 0 : 1));
    if (sign == '-') skip_space();
    if (sign == '\0' && sees("\n")) skip(1);
    return true;
  }

  /// The length of `{%- WORD`, signs and spaces included, at `offset`; 0 if something else is there.
  size_t match_tag(size_t offset, std::string_view word, char& sign) const {
    const std::string_view rest = std::string_view(source_).substr(offset);
    if (!rest.starts_with("{%")) return 0;
    size_t i = 2;
    sign = i < rest.size() && (rest[i] == '-' || rest[i] == '+') ? rest[i++] : '\0';
    i = rest.size() - strip(rest.substr(i), Side::left).size();
    if (!rest.substr(i).starts_with(word)) return 0;
    i += word.size();
    return rest.size() - strip(rest.substr(i), Side::left).size();
  }

  void read_text() {
    size_t tag = source_.find('{', at_);
    while (tag != std::string::npos &&
           (tag + 1 == source_.size() ||
            std::string_view("{%#").find(source_[tag + 1]) == std::string_view::npos))
      tag = source_.find('{', tag + 1);
    if (tag == std::string::npos) return add_text(source_.size(), '+', true);
    char sign = '\0';
    if (const size_t length = match_tag(tag, "raw", sign); length != 0) {
      const auto rest = std::string_view(source_).substr(tag + length);
      if (rest.starts_with("%}") || rest.starts_with("-%}")) {
        add_text(tag, sign, false);
        skip(length + (rest[0] == '-' ? 3 : 2));
        if (rest[0] == '-') skip_space();
        return read_raw();
      }
    }
    sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    if (sign != '-' && sign != '+') sign = '\0';
    const char kind = source_[tag + 1];
    add_text(tag, sign, kind == '{');
    skip(sign == '\0' ? 2 : 3);
    if (kind == '#') {
      read_comment();
    } else {
      read_tag(kind == '{');
    }
  }

  void read_comment() {
    const size_t end = source_.find("#}", at_);
    if (end == std::string::npos) complain("a comment is not closed by #}");
    const bool has_sign = end > at_ && (source_[end - 1] == '-' || source_[end - 1] == '+');
    skip(end - (has_sign ? 1 : 0) - at_);
    take_end("#}");
  }

  void read_raw() {
    for (size_t tag = source_.find("{%", at_); tag != std::string::npos; tag = source_.find("{%", tag + 1)) {
      char sign = '\0';
      const size_t length = match_tag(tag, "endraw", sign);
      if (length == 0) continue;
      const auto rest = std::string_view(source_).substr(tag + length);
      if (!rest.starts_with("%}") && !rest.starts_with("-%}") && !rest.starts_with("+%}")) continue;
      add_text(tag, sign, false);
      skip(length);
      take_end("%}");
      return;
    }
    complain("a raw block is not closed by {% endraw %}");
  }

  void read_tag(bool is_print) {
    add(is_print ? Type::begin_print : Type::begin_block);
    std::string open;  // brackets: inside of them "}}" closes two dicts
    while (true) {
      skip_space();
      if (at_ == source_.size()) complain("a tag is not closed by ", is_print ? "}}" : "%}");
      if (open.empty()) {
        const int line = line_;
        const bool ended = is_print ? take_print_end() : take_end("%}");
        if (ended) {
          tokens_.push_back({is_print ? Type::end_print : Type::end_block, line, "", {}});
          return;
        }
      }
      if (is_decimal(source_[at_])) {
        read_number();
      } else if (is_name_byte(source_[at_])) {
        const size_t begin = at_;
        while (at_ < source_.size() && is_name_byte(source_[at_])) ++at_;
        add(Type::name, source_.substr(begin, at_ - begin));
      } else if (source_[at_] == '"' || source_[at_] == '\'') {
        read_string();
      } else {
        read_operator(open);
      }
    }
  }

  bool take_print_end() {
    if (sees("}}")) {
      skip(2);
      return true;
    }
    if (!sees("-}}")) return false;
    skip(3);
    skip_space();
    return true;
  }

  /// Digits with single underscores between them, from `i` on; where they end.
  size_t digits_end(size_t i) const {
    while (i < source_.size() && (is_decimal(source_[i]) || (source_[i] == '_' && i + 1 < source_.size() &&
                                                             is_decimal(source_[i + 1]))))
      ++i;
    return i;
  }

  void read_number() {
    const auto at = [&](size_t i) { return i < source_.size() ? source_[i] : '\0'; };
    size_t end = digits_end(at_);
    bool is_float = false;
    if (at_ == 0 || source_[at_ - 1] != '.') {  // in "x.0.1" there is none
      if (at(end) == '.' && is_decimal(at(end + 1))) {
        is_float = true;
        end = digits_end(end + 1);
      }
      const size_t exponent = end + (at(end + 1) == '+' || at(end + 1) == '-' ? 2 : 1);
      if ((at(end) == 'e' || at(end) == 'E') && is_decimal(at(exponent))) {
        is_float = true;
        end = digits_end(exponent);
      }
    }
    if (!is_float && at(at_) == '0' &&
        std::string_view("xXoObB").find(at(at_ + 1)) != std::string_view::npos) {
      end = at_ + 2;
      while (end < source_.size() && is_name_byte(source_[end])) ++end;
    }
    const std::string digits = source_.substr(at_, end - at_);
    Value number;
    if (double real = 0; is_float && parse_float(digits, real)) number = real;
    if (int64_t integer = 0; !is_float && parse_integer(digits, 0, integer)) number = integer;
    const bool has_zero = !is_float && digits[0] == '0' && digits.find_first_of("123456789") == 1;
    if (number.is_undefined() || has_zero) complain("not a number: ", digits.substr(0, 40));
    add(Type::number, digits, number);
    at_ = end;
  }

  void read_string() {
    const char mark = source_[at_];
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != mark) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) complain("a string is not closed by ", mark);
    add(Type::string, unescape(std::string_view(source_).substr(at_ + 1, end - at_ - 1)));
    skip(end + 1 - at_);
  }

  /// `count` digits of `base` at `i`, at least `least`; moved behind them.
  std::optional<uint32_t> code(std::string_view text, size_t& i, size_t least, size_t count, int base) const {
    uint32_t value = 0;
    size_t taken = 0;
    for (; taken < count && i < text.size(); ++taken, ++i) {
      const char c = static_cast<char>(std::tolower(static_cast<unsigned char>(text[i])));
      const int digit = is_decimal(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
      if (digit >= base) break;
      value = value * static_cast<uint32_t>(base) + static_cast<uint32_t>(digit);
    }
    return taken < least ? std::nullopt : std::optional(value);
  }

  /// Python's escapes; an unknown one stays as it is.
  std::string unescape(std::string_view text) const {
    constexpr std::string_view kNames = "abfnrtv\\'\"\n";
    constexpr std::array<std::string_view, 11> kMeanings = {"\a", "\b", "\f", "\n", "\r", "\t",
                                                            "\v", "\\", "'",  "\"", ""};
    std::string result;
    for (size_t i = 0; i < text.size();) {
      if (text[i] != '\\') {
        result += text[i++];
        continue;
      }
      const char name = text[++i];
      std::optional<uint32_t> character;
      if (const size_t found = kNames.find(name); found != std::string_view::npos) {
        result += kMeanings[found];
        ++i;
        continue;
      }
      if (name == 'x' || name == 'u' || name == 'U') {
        const size_t count = name == 'x' ? 2 : name == 'u' ? 4 : 8;
        character = code(text, ++i, count, count, 16);
        if (!character || *character > 0x10FFFF || (*character >= 0xD800 && *character < 0xE000))
          complain("\\", name, ": expected ", count, " digits of a character");
      } else if (name >= '0' && name < '8') {
        character = code(text, i, 1, 3, 8);
      } else if (name == 'N') {
        complain("\\N in strings is not supported");
      } else {
        result += '\\';
        continue;
      }
      append_character(result, *character);
    }
    return result;
  }

  void read_operator(std::string& open) {
    constexpr std::string_view kOpen = "([{";
    constexpr std::string_view kClose = ")]}";
    for (const char* two : {"//", "**", "==", "!=", ">=", "<="}) {
      if (!sees(two)) continue;
      add(Type::op, two);
      at_ += 2;
      return;
    }
    const char c = source_[at_];
    if (std::string_view("+-/*%~[](){}><=.:|,").find(c) == std::string_view::npos)
      complain("unexpected character ", quote(source_.substr(at_, 1)));
    if (const size_t i = kOpen.find(c); i != std::string_view::npos) open += kClose[i];
    if (kClose.find(c) != std::string_view::npos) {
      if (open.empty() || open.back() != c) complain("unexpected \"", c, "\"");
      open.pop_back();
    }
    add(Type::op, std::string(1, c));
    ++at_;
  }

  std::string source_;
  size_t at_ = 0;
  int line_ = 1;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) {
  return Lexer(source).run();
}

}  // namespace rotor::text::jinja
