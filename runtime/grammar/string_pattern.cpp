// Recursive descent over the pattern. Anchors are taken at both ends of the outermost alternatives alone.
#include "runtime/grammar/string_pattern.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "rotor/core/error.h"
#include "runtime/grammar/code_points.h"

namespace rotor::runtime::grammar {
namespace {

constexpr int kMaxNesting = 50;

const CodePoints& word_characters() {
  static const CodePoints kWord({{'a', 'z'}, {'A', 'Z'}, {'0', '9'}, {'_', '_'}});
  return kWord;
}

/// ECMAScript's white space and ends of lines.
const CodePoints& space_characters() {
  static const CodePoints kSpace({{0x09, 0x0D},
                                  {0x20, 0x20},
                                  {0xA0, 0xA0},
                                  {0x1680, 0x1680},
                                  {0x2000, 0x200A},
                                  {0x2028, 0x2029},
                                  {0x202F, 0x202F},
                                  {0x205F, 0x205F},
                                  {0x3000, 0x3000},
                                  {0xFEFF, 0xFEFF}});
  return kSpace;
}

class Parser {
 public:
  Parser(const std::string& pattern, const std::string& where, JsonPieces& pieces)
      : text_(pattern), where_(where), pieces_(pieces), builder_(pieces.builder()) {}

  StringContent parse() {
    std::vector<StringContent> alternatives;
    do {
      const bool at_start = take('^');
      StringContent part = sequence(0);
      const bool at_end = take('$');
      const StringContent any{builder_.repeat(pieces_.string_character(), 0, GrammarBuilder::kUnlimited), 0,
                              GrammarBuilder::kUnlimited};
      if (!at_start) part = joined(any, part);
      if (!at_end) part = joined(part, any);
      alternatives.push_back(part);
    } while (take('|'));
    if (at_ < text_.size()) refuse(at_, "a part of a pattern");
    return either(alternatives);
  }

 private:
  [[noreturn]] void refuse(size_t at, const std::string& expected) const {
    fail(where_, ": character ", at + 1, " of \"", text_, "\": expected ", expected, ", found ",
         at < text_.size() ? cat("\"", text_.substr(at, 3), "\"") : std::string("its end"));
  }

  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  StringContent joined(const StringContent& a, const StringContent& b) {
    const bool unlimited =
        a.max_length == GrammarBuilder::kUnlimited || b.max_length == GrammarBuilder::kUnlimited;
    return {builder_.sequence({a.expression, b.expression}), a.min_length + b.min_length,
            unlimited ? GrammarBuilder::kUnlimited : a.max_length + b.max_length};
  }

  StringContent either(const std::vector<StringContent>& parts) {
    StringContent result = parts[0];
    std::vector<GrammarBuilder::Expression> expressions;
    for (const StringContent& part : parts) {
      expressions.push_back(part.expression);
      result.min_length = std::min(result.min_length, part.min_length);
      const bool unlimited =
          result.max_length == GrammarBuilder::kUnlimited || part.max_length == GrammarBuilder::kUnlimited;
      result.max_length =
          unlimited ? GrammarBuilder::kUnlimited : std::max(result.max_length, part.max_length);
    }
    result.expression = builder_.choice(std::move(expressions));
    return result;
  }

  StringContent alternatives(int nesting) {
    if (nesting > kMaxNesting) refuse(at_, cat("at most ", kMaxNesting, " groups inside one another"));
    std::vector<StringContent> parts = {sequence(nesting)};
    while (take('|')) parts.push_back(sequence(nesting));
    return either(parts);
  }

  StringContent sequence(int nesting) {
    StringContent result{GrammarBuilder::kNothing, 0, 0};
    while (at_ < text_.size() && peek() != '|' && peek() != ')') {
      if (peek() == '$' && nesting == 0) {
        if (at_ + 1 < text_.size() && text_[at_ + 1] != '|') refuse(at_, "$ at the end of a pattern only");
        break;
      }
      result = joined(result, repeated(atom(nesting)));
    }
    return result;
  }

  StringContent atom(int nesting) {
    const size_t begin = at_;
    if (take('(')) {
      if (take('?') && !take(':')) refuse(begin, "a group without look-around or name");
      const StringContent inner = alternatives(nesting + 1);
      if (!take(')')) refuse(at_, "\")\"");
      return inner;
    }
    if (take('[')) return one_of(character_class(begin));
    if (take('.')) {
      return one_of(CodePoints({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}).complement());
    }
    if (take('\\')) return one_of(escaped(false));
    if (std::string_view("*+?{}^$]").find(peek()) != std::string_view::npos) {
      refuse(begin, "a character, a class or a group");
    }
    return one_of(plain());
  }

  StringContent one_of(const CodePoints& set) { return {pieces_.string_character(set), 1, 1}; }

  CodePoints plain() {
    std::string_view rest = std::string_view(text_).substr(at_);
    const auto point = take_code_point(rest);
    if (!point) refuse(at_, "UTF-8");
    at_ = text_.size() - rest.size();
    return CodePoints({{*point, *point}});
  }

  uint32_t hex(int digits) {
    uint32_t value = 0;
    for (int i = 0; i < digits; ++i) {
      const std::string_view kHex = "0123456789abcdef";
      const size_t digit =
          kHex.find(static_cast<char>(peek() >= 'A' && peek() <= 'F' ? peek() | 0x20 : peek()));
      if (at_ >= text_.size() || digit == std::string_view::npos) refuse(at_, "a hexadecimal digit");
      value = value << 4 | static_cast<uint32_t>(digit);
      ++at_;
    }
    return value;
  }

  /// Behind a backslash.
  CodePoints escaped(bool in_class) {
    const size_t begin = at_ - 1;
    const char c = peek();
    ++at_;
    const auto one = [](uint32_t point) { return CodePoints({{point, point}}); };
    switch (c) {
      case 'd':
        return CodePoints({{'0', '9'}});
      case 'D':
        return CodePoints({{'0', '9'}}).complement();
      case 'w':
        return word_characters();
      case 'W':
        return word_characters().complement();
      case 's':
        return space_characters();
      case 'S':
        return space_characters().complement();
      case 't':
        return one('\t');
      case 'n':
        return one('\n');
      case 'r':
        return one('\r');
      case 'f':
        return one('\f');
      case 'v':
        return one('\v');
      case 'x':
        return one(hex(2));
      case 'u': {
        const uint32_t point = hex(4);
        if (point >= 0xD800 && point <= 0xDFFF) refuse(begin, "a character that is no surrogate");
        return one(point);
      }
      default:
        if (std::string_view("^$\\.*+?()[]{}|/-").find(c) != std::string_view::npos && c != '\0') {
          return one(static_cast<uint32_t>(c));
        }
        refuse(begin, in_class ? "an escape of a class or a character"
                               : "\\d, \\w, \\s, their opposites, or the escape of a character");
    }
  }

  CodePoints character_class(size_t begin) {
    const bool negated = take('^');
    CodePoints set;
    while (!take(']')) {
      if (at_ >= text_.size()) refuse(begin, "a class that ends with ]");
      const CodePoints first = take('\\') ? escaped(true) : plain();
      const bool is_range = peek() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']';
      if (!is_range) {
        set = set.united(first);
        continue;
      }
      const size_t at = at_++;
      const CodePoints last = take('\\') ? escaped(true) : plain();
      const auto point = [&](const CodePoints& one) {
        const bool is_one = one.ranges().size() == 1 && one.ranges()[0].first == one.ranges()[0].second;
        if (!is_one) refuse(at, "a range between two characters");
        return one.ranges()[0].first;
      };
      if (point(last) < point(first)) refuse(at, "a range that ascends");
      set = set.united(CodePoints({{point(first), point(last)}}));
    }
    return negated ? set.complement() : set;
  }

  std::optional<int64_t> count() {
    const size_t begin = at_;
    int64_t value = 0;
    while (peek() >= '0' && peek() <= '9') {
      value = value * 10 + (text_[at_++] - '0');
      if (value > kMaxRepetitions) refuse(begin, cat("a count of at most ", kMaxRepetitions));
    }
    return at_ == begin ? std::nullopt : std::optional(value);
  }

  /// Lazy forms match the same strings.
  StringContent repeated(StringContent part) {
    const size_t begin = at_;
    int64_t min = 1;
    int64_t max = 1;
    if (take('*')) {
      min = 0;
      max = GrammarBuilder::kUnlimited;
    } else if (take('+')) {
      max = GrammarBuilder::kUnlimited;
    } else if (take('?')) {
      min = 0;
    } else if (take('{')) {
      const auto low = count();
      if (!low) refuse(begin, "{m}, {m,} or {m,n}");
      min = max = *low;
      if (take(',')) max = count().value_or(GrammarBuilder::kUnlimited);
      if (!take('}')) refuse(begin, "{m}, {m,} or {m,n}");
      if (max != GrammarBuilder::kUnlimited && max < min) refuse(begin, "{m,n} with m <= n");
    } else {
      return part;
    }
    take('?');
    part.expression = builder_.repeat(part.expression, min, max);
    const bool is_empty = part.max_length == 0 || max == 0;
    const bool unlimited = part.max_length == GrammarBuilder::kUnlimited || max == GrammarBuilder::kUnlimited;
    part.min_length = std::min(part.min_length * min, kMaxRepetitions);
    part.max_length = is_empty ? 0 : unlimited ? GrammarBuilder::kUnlimited : part.max_length * max;
    if (part.max_length > kMaxRepetitions) part.max_length = GrammarBuilder::kUnlimited;
    return part;
  }

  const std::string& text_;
  const std::string& where_;
  JsonPieces& pieces_;
  GrammarBuilder& builder_;
  size_t at_ = 0;
};

}  // namespace

StringContent compile_pattern(const std::string& pattern, const std::string& where, JsonPieces& pieces) {
  return Parser(pattern, where, pieces).parse();
}

}  // namespace rotor::runtime::grammar
