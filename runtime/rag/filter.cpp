#include "runtime/rag/filter.h"

#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "rotor/core/error.h"

namespace rotor::runtime::rag {
namespace {

using Relation = Condition::Relation;

// Longer ones first, where one begins another.
constexpr std::array<std::pair<std::string_view, Relation>, 7> kRelations = {{{"!=", Relation::not_equal},
                                                                              {"<=", Relation::at_most},
                                                                              {">=", Relation::at_least},
                                                                              {"^=", Relation::begins_with},
                                                                              {"=", Relation::equal},
                                                                              {"<", Relation::less},
                                                                              {">", Relation::greater}}};

std::string value_text(const std::string& field, const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number() || value.is_boolean()) return value.dump();
  fail("metadata: ", field, ": expected a text, a number, true or false, or an array of them, found ",
       quote_json(value));
}

}  // namespace

Condition parse_condition(std::string_view text) {
  const size_t at = text.find_first_of("!<>^=");
  if (at != std::string_view::npos && at > 0) {
    for (const auto& [sign, relation] : kRelations) {
      if (!text.substr(at).starts_with(sign)) continue;
      return {std::string(text.substr(0, at)), relation, std::string(text.substr(at + sign.size()))};
    }
  }
  fail("filter: expected FIELD=VALUE, or != < <= > >= ^= (begins with) instead of =, found \"", text, "\"");
}

std::optional<double> as_number(const std::string& text) {
  double number = 0.0;
  const char* const end = text.data() + text.size();
  const auto [behind, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || behind != end || !std::isfinite(number)) return std::nullopt;
  return number;
}

std::vector<FieldValue> field_values(const std::string& id, const std::string& source,
                                     const std::string& title, const Json& metadata) {
  if (!metadata.is_object()) fail("metadata: expected an object, found ", quote_json(metadata));
  std::vector<FieldValue> values;
  const auto add = [&](const std::string& field, const std::string& text) {
    values.push_back({field, text, as_number(text)});
  };
  add("id", id);
  add("source", source);
  add("title", title);
  for (const auto& [field, value] : metadata.items()) {
    if (field == "id" || field == "source" || field == "title") continue;  // the document's own are meant
    if (!value.is_array()) {
      if (!value.is_null()) add(field, value_text(field, value));
      continue;
    }
    for (const Json& element : value) add(field, value_text(field, element));
  }
  return values;
}

}  // namespace rotor::runtime::rag
