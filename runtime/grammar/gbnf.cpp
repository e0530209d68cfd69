// Recursive descent over the text. Rules are declared when they are first named, wherever they are defined.
#include "runtime/grammar/gbnf.h"

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "rotor/core/error.h"
#include "runtime/grammar/code_points.h"

namespace rotor::runtime::grammar {
namespace {

constexpr size_t kMaxGrammarBytes = size_t{1} << 20;
constexpr int kMaxNesting = 100;

bool is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

class Parser {
 public:
  Parser(std::string_view text, const std::string& source, GrammarBuilder& builder)
      : text_(text), source_(source), builder_(builder) {}

  GrammarBuilder::Rule parse() {
    if (text_.size() > kMaxGrammarBytes) {
      fail(source_, ": expected a grammar of at most ", kMaxGrammarBytes, " bytes, found ", text_.size());
    }
    skip_space(true);
    while (at_ < text_.size()) rule();
    const auto root = rules_.find("root");
    if (root == rules_.end() || !builder_.is_defined(root->second)) {
      fail(source_, ": expected a rule named root, found none");
    }
    return root->second;
  }

 private:
  using Expression = GrammarBuilder::Expression;

  std::string place(size_t at) const {
    const std::string_view before = text_.substr(0, at);
    const auto line = 1 + std::ranges::count(before, '\n');
    const size_t begin = before.rfind('\n') + 1;  // 0 if there is no line before
    return cat(source_, ": line ", line, ", column ", at - begin + 1);
  }

  std::string found(size_t at) const {
    if (at >= text_.size()) return "the end of the text";
    std::string_view rest = text_.substr(at);
    const std::string_view all = rest;
    if (rest[0] == '\n') return "the end of the line";
    return take_code_point(rest) ? cat("\"", all.substr(0, all.size() - rest.size()), "\"")
                                 : std::string("a byte that is not UTF-8");
  }

  [[noreturn]] void refuse(size_t at, const std::string& expected) const {
    fail(place(at), ": expected ", expected, ", found ", found(at));
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  /// Spaces and comments; ends of lines where they mean nothing.
  void skip_space(bool lines) {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '#') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else if (c == ' ' || c == '\t' || (lines && (c == '\n' || c == '\r'))) {
        ++at_;
      } else if (c == '\r' && text_.substr(at_).starts_with("\r\n")) {
        ++at_;
      } else {
        return;
      }
    }
  }

  std::string name() {
    const size_t begin = at_;
    while (at_ < text_.size() && is_name(text_[at_])) ++at_;
    if (at_ == begin) refuse(begin, "the name of a rule");
    return std::string(text_.substr(begin, at_ - begin));
  }

  GrammarBuilder::Rule named(const std::string& name, size_t at) {
    const auto known = rules_.find(name);
    if (known != rules_.end()) return known->second;
    return rules_[name] = builder_.declare(name, place(at));
  }

  void rule() {
    const size_t begin = at_;
    const std::string rule_name = name();
    const GrammarBuilder::Rule rule = named(rule_name, begin);
    if (builder_.is_defined(rule)) {
      fail(place(begin), ": expected each rule once, found \"", rule_name, "\" again");
    }
    skip_space(false);
    if (!text_.substr(at_).starts_with("::=")) refuse(at_, "\"::=\"");
    at_ += 3;
    skip_space(true);
    builder_.define(rule, alternatives(0));
    if (at_ < text_.size() && peek() != '\n' && peek() != '\r') {
      refuse(at_, "a part of rule " + rule_name + " or the end of the line");
    }
    skip_space(true);
  }

  /// "|", which may begin a line: no rule does.
  bool take_bar() {
    const size_t begin = at_;
    skip_space(true);
    if (take('|')) return true;
    at_ = begin;
    return false;
  }

  Expression alternatives(int nesting) {
    if (nesting > kMaxNesting) refuse(at_, cat("at most ", kMaxNesting, " groups inside one another"));
    std::vector<Expression> result = {sequence(nesting)};
    while (take_bar()) {
      skip_space(true);
      result.push_back(sequence(nesting));
    }
    return builder_.choice(std::move(result));
  }

  Expression sequence(int nesting) {
    std::vector<Expression> parts;
    while (const auto part = item(nesting)) {
      parts.push_back(repeated(*part));
      skip_space(nesting > 0);
    }
    return builder_.sequence(std::move(parts));
  }

  std::optional<Expression> item(int nesting) {
    const size_t begin = at_;
    if (take('"')) return literal(begin);
    if (take('[')) return characters();
    if (take('.')) return builder_.character(CodePoints().complement());
    if (take('(')) {
      skip_space(true);
      const Expression inner = alternatives(nesting + 1);
      if (!take(')')) refuse(at_, "\")\" for the \"(\" of " + place(begin));
      return inner;
    }
    if (is_name(peek())) {
      const std::string rule_name = name();
      return builder_.call(named(rule_name, begin));
    }
    return {};
  }

  /// Each suffix is a group around what stands before it.
  Expression repeated(Expression part) {
    for (int suffixes = 0;; ++suffixes) {
      skip_space(false);
      if (suffixes > kMaxNesting) refuse(at_, cat("at most ", kMaxNesting, " of * + ? { behind one part"));
      if (take('*')) {
        part = builder_.repeat(part, 0, GrammarBuilder::kUnlimited);
      } else if (take('+')) {
        part = builder_.repeat(part, 1, GrammarBuilder::kUnlimited);
      } else if (take('?')) {
        part = builder_.optional(part);
      } else if (take('{')) {
        part = counted(part);
      } else {
        return part;
      }
    }
  }

  int64_t count() {
    const size_t begin = at_;
    int64_t value = 0;
    while (peek() >= '0' && peek() <= '9') {
      value = value * 10 + (text_[at_++] - '0');
      if (value > kMaxRepetitions) {
        fail(place(begin), ": expected a count of at most ", kMaxRepetitions, ", found a larger one");
      }
    }
    if (at_ == begin) refuse(begin, "a count");
    return value;
  }

  Expression counted(Expression part) {
    skip_space(false);
    const size_t begin = at_;
    const int64_t min = count();
    int64_t max = min;
    skip_space(false);
    if (take(',')) {
      skip_space(false);
      max = peek() == '}' ? GrammarBuilder::kUnlimited : count();
      skip_space(false);
    }
    if (!take('}')) refuse(at_, "\"}\"");
    if (max != GrammarBuilder::kUnlimited && max < min) {
      fail(place(begin), ": expected {m,n} with m <= n, found {", min, ",", max, "}");
    }
    return builder_.repeat(part, min, max);
  }

  uint32_t hex(int digits) {
    uint32_t value = 0;
    for (int i = 0; i < digits; ++i) {
      const char c = peek();
      const bool is_digit = c >= '0' && c <= '9';
      const char letter = static_cast<char>(c | 0x20);
      if (!is_digit && !(letter >= 'a' && letter <= 'f')) refuse(at_, cat(digits, " hexadecimal digits"));
      value = value << 4 | static_cast<uint32_t>(is_digit ? c - '0' : letter - 'a' + 10);
      ++at_;
    }
    return value;
  }

  /// A character of a literal or class, escaped or not; `at_` is not at its end.
  uint32_t character() {
    const size_t begin = at_;
    if (!take('\\')) {
      std::string_view rest = text_.substr(at_);
      const auto point = take_code_point(rest);
      if (!point) refuse(at_, "UTF-8");
      at_ = text_.size() - rest.size();
      return *point;
    }
    const char c = peek();
    ++at_;
    uint32_t point = 0;
    switch (c) {
      case 'x':
        return hex(2);
      case 'u':
        point = hex(4);
        break;
      case 'U':
        point = hex(8);
        break;
      case 't':
        return '\t';
      case 'r':
        return '\r';
      case 'n':
        return '\n';
      case '\\':
      case '"':
      case '[':
      case ']':
      case '-':
      case '^':
        return static_cast<uint32_t>(c);
      default:
        refuse(begin, "one of the escapes \\x \\u \\U \\t \\r \\n \\\\ \\\" \\[ \\] \\- \\^");
    }
    if (point > kMaxCodePoint || (point >= 0xD800 && point <= 0xDFFF)) {
      fail(place(begin), ": expected a Unicode character, found U+", std::hex, point);
    }
    return point;
  }

  Expression literal(size_t begin) {
    std::string bytes;
    while (!take('"')) {
      if (at_ >= text_.size() || peek() == '\n') refuse(at_, "the closing \" of " + place(begin));
      bytes += utf8_of(character());
    }
    return builder_.literal(bytes);
  }

  Expression characters() {
    const size_t begin = at_ - 1;
    const bool negated = take('^');
    std::vector<CodePoints::Range> ranges;
    while (!take(']')) {
      if (at_ >= text_.size() || peek() == '\n') refuse(at_, "the closing ] of " + place(begin));
      const size_t range_begin = at_;
      const uint32_t first = character();
      uint32_t last = first;
      if (peek() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        last = character();
        if (last < first) {
          fail(place(range_begin), ": expected a range that ascends, found ",
               text_.substr(range_begin, at_ - range_begin));
        }
      }
      ranges.emplace_back(first, last);
    }
    const CodePoints set(std::move(ranges));
    return builder_.character(negated ? set.complement() : set);
  }

  std::string_view text_;
  const std::string& source_;
  GrammarBuilder& builder_;
  size_t at_ = 0;
  std::map<std::string, GrammarBuilder::Rule> rules_;
};

}  // namespace

GrammarBuilder::Rule add_gbnf(std::string_view text, const std::string& source, GrammarBuilder& builder) {
  return Parser(text, source, builder).parse();
}

std::shared_ptr<const Grammar> parse_gbnf(std::string_view text, const std::string& source) {
  GrammarBuilder builder(source, kGbnfDepth);
  const GrammarBuilder::Rule root = add_gbnf(text, source, builder);
  return builder.build(root);
}

}  // namespace rotor::runtime::grammar
