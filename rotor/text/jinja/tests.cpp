// What may stand behind "is".
#include <functional>

#include "rotor/core/error.h"
#include "rotor/text/jinja/callable.h"
#include "rotor/text/jinja/evaluator.h"
#include "rotor/text/jinja/operators.h"
#include "rotor/text/jinja/python_text.h"

namespace rotor::text::jinja {
namespace {

/// Tests of a value alone.
using Property = bool (*)(const Value& value);
/// Tests of a value against another one.
using Relation = bool (*)(const Value& value, const Value& other);

template <bool (*matches)(uint32_t)>
bool is_case(const Value& value) {
  bool has_case = false;
  const std::string text = to_text(value);
  for (size_t i = 0; i < text.size();) {
    const uint32_t c = next_character(text, i);
    if (!is_upper(c) && !is_lower(c)) continue;
    if (!matches(c)) return false;
    has_case = true;
  }
  return has_case;
}

bool is_iterable(const Value& value) {
  return value.is_undefined() || value.is_text() || value.sequence() != nullptr || value.dict() != nullptr ||
         value.loop() != nullptr;
}

bool is_sequence(const Value& value) {
  return value.is_undefined() || value.is_text() || value.dict() != nullptr ||
         (value.sequence() != nullptr && value.sequence()->type <= Sequence::Type::range);
}

bool has_rest(const Value& value, const Value& divisor, int64_t rest) {
  return is_equal(calculate("%", value, divisor), rest);
}

template <char first, char second = '\0'>
bool ordered(const Value& value, const Value& other) {
  constexpr char kOp[] = {first, second, '\0'};
  return compare(kOp, value, other);
}

const std::map<std::string, Property, std::less<>>& properties() {
  static const std::map<std::string, Property, std::less<>> kProperties = {
      {"defined", [](const Value& v) { return !v.is_undefined(); }},
      {"undefined", [](const Value& v) { return v.is_undefined(); }},
      {"none", [](const Value& v) { return v.is_none(); }},
      {"boolean", [](const Value& v) { return v.is_boolean(); }},
      {"true", [](const Value& v) { return v.is_boolean() && v.integer() == 1; }},
      {"false", [](const Value& v) { return v.is_boolean() && v.integer() == 0; }},
      {"integer", [](const Value& v) { return v.is_integral() && !v.is_boolean(); }},
      {"float", [](const Value& v) { return v.is_real(); }},
      {"number", [](const Value& v) { return v.is_number(); }},
      {"string", [](const Value& v) { return v.is_text(); }},
      {"mapping", [](const Value& v) { return v.dict() != nullptr; }},
      {"iterable", is_iterable},
      {"sequence", is_sequence},
      {"callable", [](const Value& v) { return v.callable() != nullptr || v.is_undefined(); }},
      {"escaped", [](const Value& v) { return v.is_safe(); }},
      {"upper", is_case<is_upper>},
      {"lower", is_case<is_lower>},
      {"odd", [](const Value& v) { return has_rest(v, 2, 1); }},
      {"even", [](const Value& v) { return has_rest(v, 2, 0); }},
      {"filter", [](const Value& v) { return v.is_text() && find_filter(v.text()) != nullptr; }}};
  return kProperties;
}

const std::map<std::string, Relation, std::less<>>& relations() {
  static const std::map<std::string, Relation, std::less<>> kRelations = {
      {"eq", is_equal},
      {"equalto", is_equal},
      {"==", is_equal},
      {"ne", ordered<'!', '='>},
      {"!=", ordered<'!', '='>},
      {"lt", ordered<'<'>},
      {"lessthan", ordered<'<'>},
      {"<", ordered<'<'>},
      {"le", ordered<'<', '='>},
      {"<=", ordered<'<', '='>},
      {"gt", ordered<'>'>},
      {"greaterthan", ordered<'>'>},
      {">", ordered<'>'>},
      {"ge", ordered<'>', '='>},
      {">=", ordered<'>', '='>},
      {"in", ordered<'i', 'n'>},
      {"sameas", [](const Value& v, const Value& other) { return v.is_same(other); }},
      {"divisibleby", [](const Value& v, const Value& other) { return has_rest(v, other, 0); }}};
  return kRelations;
}

}  // namespace

bool run_test(Evaluator& evaluator, std::string_view name, const Value& value, const Arguments& arguments) {
  if (const auto found = properties().find(name); found != properties().end()) {
    const Bound none(name, arguments, {});
    return found->second(value);
  }
  const auto found = relations().find(name);
  if (found == relations().end()) fail("there is no test \"", name, "\"");
  const Bound bound(name, arguments, {"other"}, 1);
  evaluator.charge(name == "in" ? bound[0].weight() : std::min(value.weight(), bound[0].weight()));
  return found->second(value, bound[0]);
}

}  // namespace rotor::text::jinja
