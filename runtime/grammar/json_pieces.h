// What JSON texts are made of, as expressions of a grammar: strings, numbers, lists, any value. White space
// is at most a space or a line's end with its indent, so that no model can go round in it, and numbers stay
// within what a double holds.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>

#include "rotor/formats/ordered_json.h"
#include "runtime/grammar/code_points.h"
#include "runtime/grammar/grammar_builder.h"

namespace rotor::runtime::grammar {

/// Digits of integers, and of what stands in front of a point.
inline constexpr int kIntegerDigits = 18;

class JsonPieces {
 public:
  using Expression = GrammarBuilder::Expression;
  /// `builder` must outlive this object.
  explicit JsonPieces(GrammarBuilder& builder);

  GrammarBuilder& builder() { return builder_; }

  /// Nothing, a space, or a new line and its indent: behind "{", "[" and ",", before "}" and "]".
  Expression space() const { return space_; }
  /// "," and the space behind it.
  Expression comma() const { return comma_; }

  /// A character of a string, escaped or not: any, or one of `set` (then escaped only where JSON asks for
  /// it).
  Expression string_character() const { return string_character_; }
  Expression string_character(const CodePoints& set);
  Expression quoted(Expression content);
  /// A string of so many characters.
  Expression string(int64_t min, int64_t max);
  /// "key": value.
  Expression member(const std::string& key, Expression value);
  /// A member whose key is none of `names`.
  Expression other_member(const std::set<std::string>& names, Expression value);

  Expression integer();
  Expression number();
  Expression any_value() const { return any_value_; }
  Expression any_object() const { return any_object_; }
  Expression any_array() const { return any_array_; }
  /// This value, with its keys in their order.
  Expression value(const OrderedJson& json);

  /// `open` and `close` around what stands between, which is not empty, or around nothing if `may_be_empty`.
  Expression enclosed(const char* open, Expression inside, const char* close, bool may_be_empty);

 private:
  Expression key_other_than(const std::set<std::string>& names, size_t length);

  GrammarBuilder& builder_;
  Expression space_;
  Expression comma_;
  Expression colon_;
  Expression string_character_;
  Expression string_;
  Expression any_value_;
  Expression any_object_;
  Expression any_array_;
};

}  // namespace rotor::runtime::grammar
