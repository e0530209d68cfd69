// JSON's own grammar (RFC 8259), without what makes texts that some readers refuse: lone surrogates and
// numbers beyond a double.
#include "runtime/grammar/json_pieces.h"

#include <algorithm>

#include "rotor/core/error.h"
#include "runtime/grammar/gbnf.h"

namespace rotor::runtime::grammar {
namespace {

constexpr int kIndent = 20;

ByteSet digits(char first = '0') {
  ByteSet set;
  for (char c = first; c <= '9'; ++c) set.set(static_cast<size_t>(c));
  return set;
}

/// What a string cannot hold as it is.
const CodePoints& escaped_characters() {
  static const CodePoints kEscaped({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}});
  return kEscaped;
}

/// An escape of JSON for one of escaped_characters().
std::string escape(uint32_t point) {
  const std::string quoted = OrderedJson(utf8_of(point)).dump();
  return quoted.substr(1, quoted.size() - 2);
}

}  // namespace

JsonPieces::JsonPieces(GrammarBuilder& builder) : builder_(builder) {
  const auto one_of = [&](std::string_view characters) {
    ByteSet set;
    for (const char c : characters) set.set(static_cast<uint8_t>(c));
    return builder_.byte(set);
  };
  const Expression indent = builder_.as_rule(builder_.repeat(one_of(" \t"), 0, kIndent));
  space_ = builder_.choice(
      {GrammarBuilder::kNothing, builder_.literal(" "), builder_.sequence({builder_.literal("\n"), indent})});
  comma_ = builder_.sequence({builder_.literal(","), space_});
  colon_ = builder_.sequence({builder_.literal(":"), builder_.optional(builder_.literal(" "))});

  const Expression hex = one_of("0123456789abcdefABCDEF");
  const Expression no_surrogate =
      builder_.choice({builder_.sequence({one_of("0123456789abcefABCEF"), hex, hex, hex}),
                       builder_.sequence({one_of("dD"), one_of("01234567"), hex, hex})});
  const Expression pair =
      builder_.sequence({one_of("dD"), one_of("89abAB"), hex, hex, builder_.literal("\\u"), one_of("dD"),
                         one_of("cdefCDEF"), hex, hex});
  const Expression escape =
      builder_.choice({one_of("\"\\/bfnrt"),
                       builder_.sequence({builder_.literal("u"), builder_.choice({no_surrogate, pair})})});
  string_character_ = builder_.choice({builder_.character(escaped_characters().complement()),
                                       builder_.sequence({builder_.literal("\\"), escape})});
  string_ = builder_.as_rule(quoted(builder_.repeat(string_character_, 0, GrammarBuilder::kUnlimited)));

  const GrammarBuilder::Rule any = builder_.declare("value");
  any_value_ = builder_.call(any);
  const auto list = [&](Expression item) {
    return builder_.sequence(
        {item, builder_.repeat(builder_.sequence({comma_, item}), 0, GrammarBuilder::kUnlimited)});
  };
  any_object_ =
      builder_.as_rule(enclosed("{", list(builder_.sequence({string_, colon_, any_value_})), "}", true));
  any_array_ = builder_.as_rule(enclosed("[", list(any_value_), "]", true));
  builder_.define(any, builder_.choice({any_object_, any_array_, string_, number(), builder_.literal("true"),
                                        builder_.literal("false"), builder_.literal("null")}));
}

JsonPieces::Expression JsonPieces::string_character(const CodePoints& set) {
  std::vector<Expression> alternatives = {builder_.character(set.without(escaped_characters()))};
  for (const auto& [first, last] : escaped_characters().ranges()) {
    for (uint32_t point = first; point <= last; ++point) {
      if (set.contains(point)) alternatives.push_back(builder_.literal(escape(point)));
    }
  }
  return builder_.choice(std::move(alternatives));
}

JsonPieces::Expression JsonPieces::quoted(Expression content) {
  return builder_.sequence({builder_.literal("\""), content, builder_.literal("\"")});
}

JsonPieces::Expression JsonPieces::string(int64_t min, int64_t max) {
  if (min == 0 && max == GrammarBuilder::kUnlimited) return string_;
  return quoted(builder_.repeat(string_character_, min, max));
}

JsonPieces::Expression JsonPieces::member(const std::string& key, Expression value) {
  return builder_.sequence({builder_.literal(OrderedJson(key).dump()), colon_, value});
}

/// Keys are written without escapes, so that none can be spelled in two ways.
JsonPieces::Expression JsonPieces::other_member(const std::set<std::string>& names, Expression value) {
  return builder_.sequence({quoted(key_other_than(names, 0)), colon_, value});
}

/// What may follow the first `length` bytes, which all names share. `names` may hold that beginning itself.
JsonPieces::Expression JsonPieces::key_other_than(const std::set<std::string>& names, size_t length) {
  std::map<uint32_t, std::set<std::string>> next;
  bool is_name = false;
  for (const std::string& name : names) {
    std::string_view rest = std::string_view(name).substr(length);
    is_name |= rest.empty();
    if (const auto point = take_code_point(rest)) next[*point].insert(name);
  }
  std::vector<CodePoints::Range> continued;
  std::vector<Expression> alternatives;
  if (!is_name) alternatives.push_back(GrammarBuilder::kNothing);
  for (const auto& [point, longer] : next) {
    continued.emplace_back(point, point);
    if (escaped_characters().contains(point)) continue;
    const std::string bytes = utf8_of(point);
    alternatives.push_back(
        builder_.sequence({builder_.literal(bytes), key_other_than(longer, length + bytes.size())}));
  }
  const CodePoints plain = escaped_characters().complement();
  const Expression any = builder_.repeat(builder_.character(plain), 0, GrammarBuilder::kUnlimited);
  alternatives.push_back(
      builder_.sequence({builder_.character(plain.without(CodePoints(std::move(continued)))), any}));
  return builder_.choice(std::move(alternatives));
}

JsonPieces::Expression JsonPieces::integer() {
  const Expression rest = builder_.repeat(builder_.byte(digits()), 0, kIntegerDigits - 1);
  return builder_.choice({builder_.literal("0"), builder_.sequence({builder_.optional(builder_.literal("-")),
                                                                    builder_.byte(digits('1')), rest})});
}

JsonPieces::Expression JsonPieces::number() {
  const Expression digit = builder_.byte(digits());
  const Expression whole = builder_.choice(
      {builder_.literal("0"),
       builder_.sequence({builder_.byte(digits('1')), builder_.repeat(digit, 0, kIntegerDigits - 1)})});
  const Expression fraction = builder_.sequence({builder_.literal("."), builder_.repeat(digit, 1, 16)});
  const Expression sign = builder_.choice({builder_.literal("-"), builder_.literal("+")});
  const Expression exponent =
      builder_.sequence({builder_.choice({builder_.literal("e"), builder_.literal("E")}),
                         builder_.optional(sign), builder_.repeat(digit, 1, 2)});
  return builder_.sequence({builder_.optional(builder_.literal("-")), whole, builder_.optional(fraction),
                            builder_.optional(exponent)});
}

JsonPieces::Expression JsonPieces::value(const OrderedJson& json) {
  if (!json.is_structured()) return builder_.literal(json.dump());
  std::vector<Expression> parts;
  for (const auto& [key, item] : json.items()) {
    if (!parts.empty()) parts.push_back(comma_);
    parts.push_back(json.is_object() ? member(key, value(item)) : value(item));
  }
  const Expression inside = parts.empty() ? GrammarBuilder::kNever : builder_.sequence(std::move(parts));
  return enclosed(json.is_object() ? "{" : "[", inside, json.is_object() ? "}" : "]", json.empty());
}

JsonPieces::Expression JsonPieces::enclosed(const char* open, Expression inside, const char* close,
                                            bool may_be_empty) {
  const Expression empty = may_be_empty ? builder_.literal(close) : GrammarBuilder::kNever;
  const Expression full = builder_.sequence({space_, inside, space_, builder_.literal(close)});
  return builder_.sequence({builder_.literal(open), builder_.choice({full, empty})});
}

}  // namespace rotor::runtime::grammar
