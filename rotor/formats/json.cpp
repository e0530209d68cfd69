// nlohmann-json, with its parse events used to refuse duplicate keys. Values are built here: the library's
// own parser with a callback looks at all members of an object or array whenever an object in it ends.
#include "rotor/formats/json.h"

#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "rotor/core/error.h"
#include "rotor/formats/lfs_pointer.h"
#include "rotor/formats/mapped_file.h"
#include "rotor/formats/ordered_json.h"

namespace rotor {
namespace {

/// The library's message without its "[json.exception...]" tag.
std::string reason(const nlohmann::json::exception& e) {
  const std::string text = e.what();
  const size_t end = text.find("] ");
  return end == std::string::npos ? text : text.substr(end + 2);
}

/// Builds a value of type Value from the library's parse events (nlohmann::json_sax).
template <class Value>
class Builder {
 public:
  Builder(Value& root, const std::string& source) : root_(&root), source_(source) {}

  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(int64_t value) { return add(value); }
  bool number_unsigned(uint64_t value) { return add(value); }
  bool number_float(double value, const std::string&) { return add(value); }
  bool string(std::string& value) { return add(std::move(value)); }
  bool binary(typename Value::binary_t&) { return false; }  // not in texts
  bool start_object(size_t) { return open(Value::value_t::object); }
  bool start_array(size_t) { return open(Value::value_t::array); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool key(std::string& name) {
    auto& object = open_.back().value->template get_ref<typename Value::object_t&>();
    if constexpr (std::is_same_v<Value, OrderedJson>) {
      // A vector, in which looking for each key would take the square of their number.
      if (!open_.back().keys.insert(name).second) fail_duplicate(name);
      member_ = &object.emplace_back(name, nullptr).second;
    } else {
      const auto [member, is_new] = object.try_emplace(name);
      if (!is_new) fail_duplicate(name);
      member_ = &member->second;
    }
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception& e) {
    fail(source_, ": bad JSON: ", reason(e));
  }

 private:
  /// An object or array that has not ended.
  struct Open {
    Value* value;
    std::unordered_set<std::string> keys;  // of an ordered object
  };

  [[noreturn]] void fail_duplicate(const std::string& name) const {
    fail(source_, ": bad JSON: duplicate key \"", name, "\"");
  }
  /// Where the next value belongs: in the array that is open, behind the last key, or at the root.
  Value& place() {
    if (open_.empty()) return *root_;
    Value& outer = *open_.back().value;
    return outer.is_array() ? outer.template get_ref<typename Value::array_t&>().emplace_back() : *member_;
  }
  template <class Scalar>
  bool add(Scalar&& value) {
    place() = std::forward<Scalar>(value);
    return true;
  }
  bool open(typename Value::value_t type) {
    if (open_.size() == kMaxJsonDepth)
      fail(source_, ": bad JSON: nested deeper than ", kMaxJsonDepth, " levels");
    Value& value = place();
    value = Value(type);
    open_.push_back({&value, {}});
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  Value* root_;
  const std::string& source_;
  std::vector<Open> open_;  // an array does not grow, and move its values, while one of them is open
  Value* member_ = nullptr;
};

template <class Value>
Value parse(std::string_view text, const std::string& source) {
  Value value;
  Builder<Value> builder(value, source);
  Value::sax_parse(text, &builder);
  return value;
}

template <class Value>
Value read(const std::string& path) {
  const MappedFile file(path);
  refuse_lfs_pointer(file.text(), path);
  return parse<Value>(file.text(), path);
}

template <class Value>
std::string quote(const Value& json) {
  constexpr size_t kLength = 80;
  const std::string text = json.dump(-1, ' ', false, Value::error_handler_t::replace);
  return text.size() <= kLength ? text : text.substr(0, kLength) + "...";
}

}  // namespace

Json parse_json(std::string_view text, const std::string& source) {
  return parse<Json>(text, source);
}

OrderedJson parse_ordered_json(std::string_view text, const std::string& source) {
  return parse<OrderedJson>(text, source);
}

Json read_json_file(const std::string& path) {
  return read<Json>(path);
}

OrderedJson read_ordered_json_file(const std::string& path) {
  return read<OrderedJson>(path);
}

std::string quote_json(const Json& json) {
  return quote(json);
}

std::string quote_json(const OrderedJson& json) {
  return quote(json);
}

std::string dump_json(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace rotor
