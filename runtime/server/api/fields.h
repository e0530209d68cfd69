// Strictly typed reading of a request's JSON: a number is no text, 1.5 is no count, and what is wrong is said
// with the field's name. A field that is null is one that is not there, as OpenAI's clients send it.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "rotor/formats/ordered_json.h"
#include "runtime/server/http/api_error.h"

namespace rotor::runtime::server {

/// Throws ApiError 400 about the field `param`: "PARAM: expected ..., found ...".
[[noreturn]] void refuse(const std::string& param, const std::string& expected, const OrderedJson& found);
/// The same in words: "PARAM: MESSAGE".
[[noreturn]] void refuse(const std::string& param, const std::string& message,
                         const char* code = "invalid_value");

/// The JSON object that is a request's body. Throws ApiError 400 if it is none, has a key twice, is nested
/// too deep or is no UTF-8.
OrderedJson parse_body(std::string_view body);

/// The members of an object. Each getter throws ApiError 400 for another type or a value out of range.
class Fields {
 public:
  /// `object` must outlive this. `path` names it in errors: "" for the body, "tools[0].function". Throws
  /// ApiError if it is no object.
  explicit Fields(const OrderedJson& object, std::string path = "");

  /// "messages" or "tools[0].function.name".
  std::string param(std::string_view name) const;
  /// nullptr if it is not there, or null.
  const OrderedJson* find(const char* name);
  /// Throws if it is not there.
  const OrderedJson& need(const char* name, const char* expected);

  std::optional<bool> boolean(const char* name);
  std::optional<int64_t> integer(const char* name, int64_t low, int64_t high);
  std::optional<double> number(const char* name, double low, double high);
  std::optional<std::string> text(const char* name);
  std::string need_text(const char* name);
  /// nullptr if it is not there.
  const OrderedJson* array(const char* name, size_t most);
  const OrderedJson* object(const char* name);

  /// Notes that these are known, and mean nothing here.
  void ignore(const std::vector<const char*>& names);
  /// Names that nobody asked for.
  std::vector<std::string> unknown() const;

 private:
  const OrderedJson& object_;
  std::string path_;
  std::set<std::string, std::less<>> known_;
};

}  // namespace rotor::runtime::server
