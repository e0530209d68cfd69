// Keyword by keyword. Two that cannot be said as one are refused.
#include "runtime/grammar/schema_merge.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"

namespace rotor::runtime::grammar {
namespace {

constexpr size_t kMaxAlternatives = 256;
constexpr int kMaxDepth = 64;
/// Of members that are compared to tell branches of oneOf apart.
constexpr int kMaxDisjointDepth = 16;

using Keys = std::set<std::string>;
const Keys kObjectKeys = {"properties", "required", "additionalProperties", "minProperties", "maxProperties"};
const Keys kArrayKeys = {"items", "prefixItems", "minItems", "maxItems", "uniqueItems"};
const Keys kStringKeys = {"minLength", "maxLength", "pattern", "format"};
const Keys kNumberKeys = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"};

bool is_trivial(const OrderedJson& schema) {
  return schema == OrderedJson(true) || (schema.is_object() && schema.empty());
}

std::string type_of(const OrderedJson& value) {
  if (value.is_object()) return "object";
  if (value.is_array()) return "array";
  if (value.is_string()) return "string";
  if (value.is_boolean()) return "boolean";
  return value.is_null() ? "null" : "number";
}

bool is_whole(const OrderedJson& value) {
  return value.is_number_integer() ||
         (value.is_number() && value.get<double>() == std::trunc(value.get<double>()) &&
          std::fabs(value.get<double>()) < 0x1p53);
}

}  // namespace

uint64_t weight_of(const OrderedJson& json) {
  uint64_t weight = 8;
  if (json.is_string()) weight += json.get_ref<const std::string&>().size();
  if (!json.is_structured()) return weight;
  for (const auto& [key, value] : json.items())
    weight += (json.is_object() ? key.size() : 0) + weight_of(value);
  return weight;
}

std::set<std::string> SchemaMerger::types(const Plain& schema, bool inferred) {
  std::set<std::string> result;
  if (schema.contains("type")) {
    const OrderedJson& type = schema["type"];
    for (const auto& name : type.is_array() ? type : OrderedJson::array({type})) result.insert(name);
    if (result.contains("number")) result.erase("integer");
    return result;
  }
  if (schema.contains("enum")) {
    for (const OrderedJson& value : schema["enum"]) result.insert(type_of(value));
    return result;
  }
  const auto speaks_of = [&](const Keys& keys) {
    return std::ranges::any_of(keys, [&](const std::string& key) { return schema.contains(key); });
  };
  if (inferred) {
    if (speaks_of(kObjectKeys)) result.insert("object");
    if (speaks_of(kArrayKeys)) result.insert("array");
    if (speaks_of(kStringKeys)) result.insert("string");
    if (speaks_of(kNumberKeys)) result.insert("number");
  }
  if (result.empty()) result = {"object", "array", "string", "number", "boolean", "null"};
  return result;
}

OrderedJson SchemaMerger::all_of(const OrderedJson& a, const OrderedJson& b) const {
  if (is_trivial(a) || a == b) return b;
  if (is_trivial(b)) return a;
  if (a == OrderedJson(false) || b == OrderedJson(false)) return false;
  OrderedJson parts = OrderedJson::array();
  for (const OrderedJson& schema : {a, b}) {
    const bool is_list = schema.size() == 1 && schema.contains("allOf");
    for (const OrderedJson& part : is_list ? schema["allOf"] : OrderedJson::array({schema})) {
      budget_.spend((1 + parts.size()) * weight_of(part));
      if (std::ranges::find(parts, part) == parts.end()) parts.push_back(part);
    }
  }
  return {{"allOf", parts}};
}

OrderedJson SchemaMerger::item_schema(const Plain& schema, size_t index) {
  if (schema.contains("prefixItems") && index < schema["prefixItems"].size()) {
    return schema["prefixItems"][index];
  }
  return schema.contains("items") ? schema["items"] : OrderedJson(true);
}

OrderedJson SchemaMerger::member_schema(const Plain& schema, const std::string& key) {
  if (schema.contains("properties") && schema["properties"].contains(key)) return schema["properties"][key];
  return schema.contains("additionalProperties") ? schema["additionalProperties"] : OrderedJson(true);
}

/// What is common to two values of a keyword.
OrderedJson SchemaMerger::merged_keyword(const std::string& key, const OrderedJson& a, const OrderedJson& b,
                                         const std::string& pointer) const {
  if (a == b) return a;
  if (key.starts_with("min") || key == "exclusiveMinimum") return a < b ? b : a;
  if (key.starts_with("max") || key == "exclusiveMaximum") return a < b ? a : b;
  if (key == "additionalProperties" || key == "items") return all_of(a, b);
  if (key == "uniqueItems") return true;
  if (key == "required" || key == "enum") {
    budget_.spend((1 + a.size()) * weight_of(b));
    OrderedJson result = key == "enum" ? OrderedJson::array() : a;
    for (const OrderedJson& value : b) {
      const bool in_both = std::ranges::find(a, value) != a.end();
      if (in_both == (key == "enum")) result.push_back(value);
    }
    return result;
  }
  if (key == "multipleOf" && is_whole(a) && is_whole(b)) {
    const auto x = a.get<int64_t>();
    const auto y = b.get<int64_t>();
    if (x < (int64_t{1} << 31) && y < (int64_t{1} << 31)) return std::lcm(x, y);
  }
  refuse(deeper(pointer, key), "one " + key + " where several schemas hold at once",
         OrderedJson::array({a, b}));
}

OrderedJson SchemaMerger::merged(const Plain& a, const Plain& b, const std::string& pointer) const {
  const auto num_members = [](const Plain& schema) {
    return schema.contains("properties") ? uint64_t{schema["properties"].size()} : 0;
  };
  const uint64_t members = num_members(a) + num_members(b);
  budget_.spend(weight_of(a) + weight_of(b) + pointer.size() + members * members);
  OrderedJson result = a;
  for (const auto& [key, value] : b.items()) {
    if (key == "properties" || key == "prefixItems" || key == "items" || key == "type") continue;
    result[key] = a.contains(key) ? merged_keyword(key, a[key], value, pointer) : value;
  }
  if (a.contains("type") && b.contains("type")) {
    const auto of_a = types(a, false);
    OrderedJson both = OrderedJson::array();
    for (const std::string& type : types(b, false)) {
      if (of_a.contains(type) || (type == "integer" && of_a.contains("number"))) both.push_back(type);
      if (type == "number" && of_a.contains("integer")) both.push_back("integer");
    }
    result["type"] = both;
  } else if (b.contains("type")) {
    result["type"] = b["type"];
  }
  const auto count = [](const Plain& schema) {
    return schema.contains("prefixItems") ? schema["prefixItems"].size() : 0;
  };
  const size_t prefix = std::max(count(a), count(b));
  OrderedJson prefix_items = OrderedJson::array();
  for (size_t i = 0; i < prefix; ++i) prefix_items.push_back(all_of(item_schema(a, i), item_schema(b, i)));
  if (prefix > 0) result["prefixItems"] = prefix_items;
  const OrderedJson items = all_of(item_schema(a, prefix), item_schema(b, prefix));
  if (a.contains("items") || b.contains("items")) result["items"] = items;
  OrderedJson properties = OrderedJson::object();
  for (const Plain* schema : {&a, &b}) {
    if (!schema->contains("properties")) continue;
    for (const auto& [key, value] : (*schema)["properties"].items()) {
      properties[key] = all_of(member_schema(a, key), member_schema(b, key));
    }
  }
  if (a.contains("properties") || b.contains("properties")) result["properties"] = properties;
  return result;
}

std::vector<SchemaMerger::Plain> SchemaMerger::product(const std::vector<Plain>& a,
                                                       const std::vector<Plain>& b,
                                                       const std::string& pointer) const {
  if (a.size() * b.size() > kMaxAlternatives) {
    fail(source_, ": ", pointer, ": expected at most ", kMaxAlternatives,
         " combinations of alternatives, found ", a.size() * b.size());
  }
  std::vector<Plain> result;
  for (const Plain& x : a) {
    for (const Plain& y : b) {
      Plain both = merged(x, y, pointer);
      const bool no_type = both.contains("type") && both["type"].is_array() && both["type"].empty();
      const bool no_value = both.contains("enum") && both["enum"].empty();
      if (!no_type && !no_value) result.push_back(std::move(both));
    }
  }
  return result;
}

/// `a` asks for a member that `b` does not let be.
bool SchemaMerger::requires_what_is_forbidden(const Plain& a, const Plain& b) const {
  if (!a.contains("required")) return false;
  budget_.spend(a["required"].size() * (b.contains("properties") ? b["properties"].size() : 1));
  return std::ranges::any_of(
      a["required"], [&](const OrderedJson& key) { return member_schema(b, key) == OrderedJson(false); });
}

/// Whether no value obeys both, as far as that is easily seen; values of `a` and `b` are of the types that
/// their keywords speak of.
bool SchemaMerger::disjoint(const Plain& a, const Plain& b, const std::string& pointer) {
  budget_.spend(weight_of(a) + weight_of(b));
  const auto meet = [](const std::set<std::string>& x, const std::set<std::string>& y) {
    return std::ranges::any_of(x, [&](const std::string& type) {
      return y.contains(type) || (type == "integer" && y.contains("number")) ||
             (type == "number" && y.contains("integer"));
    });
  };
  if (!meet(types(a, true), types(b, false)) && !meet(types(b, true), types(a, false))) return true;
  if (a.contains("enum") && b.contains("enum")) {
    budget_.spend(b["enum"].size() * weight_of(a["enum"]));
    return std::ranges::none_of(a["enum"], [&](const OrderedJson& value) {
      return std::ranges::find(b["enum"], value) != b["enum"].end();
    });
  }
  const std::set<std::string> object = {"object"};
  if (types(a, true) != object || types(b, true) != object) return false;
  if (requires_what_is_forbidden(a, b) || requires_what_is_forbidden(b, a)) return true;
  if (!a.contains("required") || !b.contains("required") || disjoint_depth_ >= kMaxDisjointDepth)
    return false;
  ++disjoint_depth_;
  const bool result = disjoint_members(a, b, pointer);
  --disjoint_depth_;
  return result;
}

/// Whether a member that both require can have no value that both allow.
bool SchemaMerger::disjoint_members(const Plain& a, const Plain& b, const std::string& pointer) {
  budget_.spend(b["required"].size() * weight_of(a["required"]));
  return std::ranges::any_of(a["required"], [&](const OrderedJson& key) {
    if (std::ranges::find(b["required"], key) == b["required"].end()) return false;
    const auto open_refs = open_refs_;
    const int depth = depth_;
    const int disjoint_depth = disjoint_depth_;
    try {
      const auto of_a = plain(member_schema(a, key), deeper(pointer, key));
      const auto of_b = plain(member_schema(b, key), deeper(pointer, key));
      return std::ranges::all_of(of_a, [&](const Plain& x) {
        return std::ranges::all_of(of_b, [&](const Plain& y) { return disjoint(x, y, pointer); });
      });
    } catch (const Error&) {  // a member of the very schema that is being read: another key may tell
      if (budget_.is_spent()) throw;
      open_refs_ = open_refs;
      depth_ = depth;
      disjoint_depth_ = disjoint_depth;
      return false;
    }
  });
}

/// A value must obey one branch and no other: each pair must be seen to have nothing in common.
std::vector<SchemaMerger::Plain> SchemaMerger::one_of(const OrderedJson& branches,
                                                      const std::string& pointer) {
  std::vector<Plain> result;
  size_t index = 0;
  for (const OrderedJson& branch : branches) {
    const auto mine = plain(branch, deeper(pointer, std::to_string(index)));
    for (const Plain& other : result) {
      for (const Plain& schema : mine) {
        if (disjoint(other, schema, pointer)) continue;
        refuse(pointer,
               "branches that differ in a type or in a constant member that all require (anyOf takes others)",
               branch);
      }
    }
    result.insert(result.end(), mine.begin(), mine.end());
    if (result.size() > kMaxAlternatives) refuse(pointer, "fewer alternatives", result.size());
    ++index;
  }
  // What a branch leaves open by itself stays as it was when the branches were compared.
  for (Plain& schema : result) {
    if (!schema.contains("type")) schema["type"] = types(schema, true);
  }
  return result;
}

std::vector<SchemaMerger::Plain> SchemaMerger::plain(const OrderedJson& schema, const std::string& pointer) {
  if (schema.is_boolean())
    return schema.get<bool>() ? std::vector<Plain>{Plain::object()} : std::vector<Plain>{};
  if (!schema.is_object()) refuse(pointer, "a schema: an object, true or false", schema);
  budget_.spend(pointer.size() + weight_of(schema));
  if (++depth_ > kMaxDepth) refuse(pointer, "schemas that are less deep", schema);
  std::vector<Plain> result = product({Plain::object()}, {checked(schema, pointer)}, pointer);
  if (schema.contains("$ref")) {
    const std::string ref = schema["$ref"];
    if (std::ranges::find(open_refs_, ref) != open_refs_.end()) {
      refuse(deeper(pointer, "$ref"), "a schema that does not consist of itself", ref);
    }
    open_refs_.push_back(ref);
    result = product(result, plain(resolve(ref, deeper(pointer, "$ref")), ref), pointer);
    open_refs_.pop_back();
  }
  if (schema.contains("allOf")) {
    size_t index = 0;
    for (const OrderedJson& part : schema["allOf"]) {
      result =
          product(result, plain(part, deeper(deeper(pointer, "allOf"), std::to_string(index++))), pointer);
    }
  }
  if (schema.contains("anyOf")) {
    std::vector<Plain> any;
    size_t index = 0;
    for (const OrderedJson& part : schema["anyOf"]) {
      const auto branch = plain(part, deeper(deeper(pointer, "anyOf"), std::to_string(index++)));
      any.insert(any.end(), branch.begin(), branch.end());
    }
    result = product(result, any, pointer);
  }
  if (schema.contains("oneOf"))
    result = product(result, one_of(schema["oneOf"], deeper(pointer, "oneOf")), pointer);
  --depth_;
  return result;
}

}  // namespace rotor::runtime::grammar
