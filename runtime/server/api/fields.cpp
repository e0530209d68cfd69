// Messages have the form of rotor's: field, expected, found.
#include "runtime/server/api/fields.h"

#include <algorithm>
#include <cmath>

namespace rotor::runtime::server {

void refuse(const std::string& param, const std::string& expected, const OrderedJson& found) {
  throw ApiError(400, cat(param, ": expected ", expected, ", found ", quote_json(found)), param,
                 "invalid_type");
}

void refuse(const std::string& param, const std::string& message, const char* code) {
  throw ApiError(400, cat(param, ": ", message), param, code);
}

OrderedJson parse_body(std::string_view body) {
  try {
    OrderedJson json = parse_ordered_json(body, "request");
    if (!json.is_object()) fail("request: expected a JSON object, found ", json.type_name());
    return json;
  } catch (const Error& e) {
    throw ApiError(400, e.what(), "", "invalid_json");
  }
}

Fields::Fields(const OrderedJson& object, std::string path) : object_(object), path_(std::move(path)) {
  if (!object.is_object()) refuse(path_, "an object", object);
}

std::string Fields::param(std::string_view name) const {
  return path_.empty() ? std::string(name) : cat(path_, ".", name);
}

const OrderedJson* Fields::find(const char* name) {
  known_.insert(name);
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

const OrderedJson& Fields::need(const char* name, const char* expected) {
  const OrderedJson* found = find(name);
  if (found == nullptr)
    throw ApiError(400, cat(param(name), ": expected ", expected, ", found none"), param(name),
                   "missing_required_parameter");
  return *found;
}

std::optional<bool> Fields::boolean(const char* name) {
  const OrderedJson* found = find(name);
  if (found == nullptr) return std::nullopt;
  if (!found->is_boolean()) refuse(param(name), "true or false", *found);
  return found->get<bool>();
}

std::optional<int64_t> Fields::integer(const char* name, int64_t low, int64_t high) {
  const OrderedJson* found = find(name);
  if (found == nullptr) return std::nullopt;
  const std::string expected = cat("an integer from ", low, " to ", high);
  if (!found->is_number_integer()) refuse(param(name), expected, *found);
  const bool is_huge = found->is_number_unsigned() &&
                       found->get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  if (is_huge || found->get<int64_t>() < low || found->get<int64_t>() > high) {
    refuse(param(name), cat("expected ", expected, ", found ", quote_json(*found)));
  }
  return found->get<int64_t>();
}

std::optional<double> Fields::number(const char* name, double low, double high) {
  const OrderedJson* found = find(name);
  if (found == nullptr) return std::nullopt;
  const std::string expected = cat("a number from ", low, " to ", high);
  if (!found->is_number()) refuse(param(name), expected, *found);
  const double value = found->get<double>();
  if (!(value >= low && value <= high))
    refuse(param(name), cat("expected ", expected, ", found ", quote_json(*found)));
  return value;
}

std::optional<std::string> Fields::text(const char* name) {
  const OrderedJson* found = find(name);
  if (found == nullptr) return std::nullopt;
  if (!found->is_string()) refuse(param(name), "a text", *found);
  return found->get<std::string>();
}

std::string Fields::need_text(const char* name) {
  need(name, "a text");
  return *text(name);
}

const OrderedJson* Fields::array(const char* name, size_t most) {
  const OrderedJson* found = find(name);
  if (found == nullptr) return nullptr;
  if (!found->is_array()) refuse(param(name), "an array", *found);
  if (found->size() > most) {
    refuse(param(name), cat("expected at most ", most, " items, found ", found->size()),
           "array_above_max_length");
  }
  return found;
}

const OrderedJson* Fields::object(const char* name) {
  const OrderedJson* found = find(name);
  if (found != nullptr && !found->is_object()) refuse(param(name), "an object", *found);
  return found;
}

void Fields::ignore(const std::vector<const char*>& names) {
  known_.insert(names.begin(), names.end());
}

std::vector<std::string> Fields::unknown() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : object_.items()) {
    if (!known_.contains(name)) names.push_back(name);
  }
  return names;
}

}  // namespace rotor::runtime::server
