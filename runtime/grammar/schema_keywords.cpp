// What a JSON schema may hold: each keyword with the kind of value it takes, those that say nothing of
// values, and those that are refused. $ref is looked up here, too.
#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "runtime/grammar/schema_merge.h"

namespace rotor::runtime::grammar {
namespace {

enum class Kind { schema, schemas, members, names, types, count, number, multiple, text, flag, values, any };

const std::map<std::string, Kind> kKeywords = {
    {"type", Kind::types},
    {"enum", Kind::values},
    {"const", Kind::any},
    {"properties", Kind::members},
    {"required", Kind::names},
    {"additionalProperties", Kind::schema},
    {"minProperties", Kind::count},
    {"maxProperties", Kind::count},
    {"items", Kind::any},
    {"additionalItems", Kind::schema},
    {"prefixItems", Kind::schemas},
    {"minItems", Kind::count},
    {"maxItems", Kind::count},
    {"uniqueItems", Kind::flag},
    {"minLength", Kind::count},
    {"maxLength", Kind::count},
    {"pattern", Kind::text},
    {"format", Kind::text},
    {"minimum", Kind::number},
    {"maximum", Kind::number},
    {"exclusiveMinimum", Kind::any},
    {"exclusiveMaximum", Kind::any},
    {"multipleOf", Kind::multiple},
    {"$ref", Kind::text},
    {"allOf", Kind::schemas},
    {"anyOf", Kind::schemas},
    {"oneOf", Kind::schemas},
    {"$defs", Kind::members},
    {"definitions", Kind::members},
};

/// Read by people and programs, without a say in what is valid.
const std::set<std::string> kAnnotations = {
    "$schema",         "$id",        "id",      "$comment",   "$anchor",  "title",     "description",
    "default",         "examples",   "example", "deprecated", "readOnly", "writeOnly", "contentMediaType",
    "contentEncoding", "$vocabulary"};

const std::array kTypes = {"object", "array", "string", "number", "integer", "boolean", "null"};

bool is_type(const OrderedJson& value) {
  return value.is_string() && std::ranges::find(kTypes, value.get<std::string>()) != kTypes.end();
}

bool is_schema(const OrderedJson& value) {
  return value.is_object() || value.is_boolean();
}

bool is_count(const OrderedJson& value) {
  return value.is_number() && value.get<double>() >= 0 && value.get<double>() <= 1e15 &&
         value.get<double>() == std::floor(value.get<double>());
}

std::string unescaped(const std::string& token) {
  std::string result;
  for (size_t i = 0; i < token.size(); ++i) {
    const auto hex = [&](size_t at) {
      return at < token.size() && std::isxdigit(static_cast<uint8_t>(token[at])) != 0;
    };
    if (token[i] == '%' && hex(i + 1) && hex(i + 2)) {
      result += static_cast<char>(std::stoi(token.substr(i + 1, 2), nullptr, 16));
      i += 2;
    } else {
      result += token[i];
    }
  }
  for (const auto& [escape, character] : {std::pair("~1", "/"), std::pair("~0", "~")}) {
    for (size_t at = 0; (at = result.find(escape, at)) != std::string::npos; ++at)
      result.replace(at, 2, character);
  }
  return result;
}

}  // namespace

std::string deeper(const std::string& pointer, const std::string& key) {
  std::string result = pointer + "/";
  for (const char c : key) result += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return result;
}

bool SchemaMerger::says_nothing(const std::string& keyword) {
  return kAnnotations.contains(keyword) || keyword.starts_with("x-");
}

void SchemaMerger::refuse(const std::string& pointer, const std::string& expected,
                          const OrderedJson& found) const {
  budget_.spend(weight_of(found));
  fail(source_, ": ", pointer, ": expected ", expected, ", found ",
       quote_json(Json::parse(found.dump(-1, ' ', false, OrderedJson::error_handler_t::replace))));
}

void SchemaMerger::check_keyword(const std::string& key, const OrderedJson& value,
                                 const std::string& pointer) const {
  const auto known = kKeywords.find(key);
  if (known == kKeywords.end())
    refuse(pointer, "a keyword that can be kept (docs/structured-output.md)", key);
  const auto all = [&](const auto& is_right) { return std::ranges::all_of(value, is_right); };
  switch (known->second) {
    case Kind::any:
      return;
    case Kind::schema:
      if (!is_schema(value)) refuse(pointer, "a schema: an object, true or false", value);
      return;
    case Kind::schemas:
      if (!value.is_array() || value.empty() || !all(is_schema)) refuse(pointer, "a list of schemas", value);
      return;
    case Kind::members:
      if (!value.is_object() || !all(is_schema)) refuse(pointer, "an object of schemas", value);
      if (key == "properties" && value.size() > kMaxMembers) {
        refuse(pointer, cat("at most ", kMaxMembers, " properties"), value.size());
      }
      return;
    case Kind::names:
      if (!value.is_array() || !all([](const OrderedJson& name) { return name.is_string(); })) {
        refuse(pointer, "a list of strings", value);
      }
      return;
    case Kind::types:
      if (!is_type(value) && !(value.is_array() && !value.empty() && all(is_type))) {
        refuse(pointer, "a type or a list of types", value);
      }
      return;
    case Kind::count:
      if (!is_count(value)) refuse(pointer, "a whole number, 0 or more", value);
      return;
    case Kind::number:
      if (!value.is_number()) refuse(pointer, "a number", value);
      return;
    case Kind::multiple:
      if (!value.is_number() || !(value.get<double>() > 0)) refuse(pointer, "a number above 0", value);
      return;
    case Kind::text:
      if (!value.is_string()) refuse(pointer, "a string", value);
      return;
    case Kind::flag:
      if (!value.is_boolean()) refuse(pointer, "true or false", value);
      return;
    case Kind::values:
      if (!value.is_array() || value.empty()) refuse(pointer, "a list of values", value);
      return;
  }
}

/// Older forms become newer ones: const a list of one value, a list of items prefixItems, and draft 4's
/// exclusiveMinimum, true or false, a number.
SchemaMerger::Plain SchemaMerger::checked(const OrderedJson& schema, const std::string& pointer) const {
  Plain result = Plain::object();
  for (const auto& [key, value] : schema.items()) {
    if (says_nothing(key)) continue;
    check_keyword(key, value, deeper(pointer, key));
    const bool is_structure = key == "$ref" || key == "allOf" || key == "anyOf" || key == "oneOf" ||
                              key == "$defs" || key == "definitions" || key == "additionalItems";
    if (!is_structure) result[key] = value;
  }
  if (schema.contains("$id") && &schema != &root_ && schema["$id"].is_string()) {
    refuse(deeper(pointer, "$id"), "no $id but the whole schema's", schema["$id"]);
  }
  if (result.contains("const")) {
    OrderedJson values = OrderedJson::array({result["const"]});
    if (result.contains("enum")) values = merged_keyword("enum", result["enum"], values, pointer);
    result["enum"] = values;
    result.erase("const");
  }
  if (result.contains("items") && result["items"].is_array()) {
    if (result.contains("prefixItems"))
      refuse(deeper(pointer, "items"), "a schema beside prefixItems", result["items"]);
    check_keyword("prefixItems", result["items"], deeper(pointer, "items"));
    result["prefixItems"] = result["items"];
    result.erase("items");
    if (schema.contains("additionalItems")) result["items"] = schema["additionalItems"];
  } else if (result.contains("items") && !is_schema(result["items"])) {
    refuse(deeper(pointer, "items"), "a schema or a list of schemas", result["items"]);
  }
  for (const auto& [exclusive, inclusive] :
       {std::pair("exclusiveMinimum", "minimum"), std::pair("exclusiveMaximum", "maximum")}) {
    if (!result.contains(exclusive) || result[exclusive].is_number()) continue;
    if (!result[exclusive].is_boolean()) refuse(deeper(pointer, exclusive), "a number", result[exclusive]);
    const bool moves = result[exclusive].get<bool>() && result.contains(inclusive);
    result.erase(exclusive);
    if (!moves) continue;
    result[exclusive] = result[inclusive];
    result.erase(inclusive);
  }
  return result;
}

const OrderedJson& SchemaMerger::resolve(const std::string& ref, const std::string& pointer) const {
  const OrderedJson* at = &root_;
  if (ref != "#" && !ref.starts_with("#/")) refuse(pointer, "a reference within the schema: #/...", ref);
  for (size_t begin = 2; begin <= ref.size();) {
    const size_t end = std::min(ref.find('/', begin), ref.size());
    const std::string key = unescaped(ref.substr(begin, end - begin));
    budget_.spend(ref.size() + (at->is_object() ? at->size() : 1));
    const bool is_index =
        !key.empty() && key.size() < 9 && key.find_first_not_of("0123456789") == std::string::npos;
    if (at->is_object() && at->contains(key)) {
      at = &(*at)[key];
    } else if (at->is_array() && is_index && std::stoul(key) < at->size()) {
      at = &(*at)[std::stoul(key)];
    } else {
      refuse(pointer, "a reference to a part of the schema", ref);
    }
    begin = end + 1;
  }
  return *at;
}

}  // namespace rotor::runtime::grammar
