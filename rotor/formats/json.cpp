// nlohmann-json, with its parse events used to refuse duplicate keys. Values are built here: the library's
// own parser with a callback looks at all members of an object or array whenever an object in it ends.
#include "rotor/formats/json.h"

#include <utility>
#include <vector>

#include "rotor/core/error.h"
#include "rotor/formats/lfs_pointer.h"
#include "rotor/formats/mapped_file.h"

namespace rotor {
namespace {

/// The library's message without its "[json.exception...]" tag.
std::string reason(const nlohmann::json::exception& e) {
  const std::string text = e.what();
  const size_t end = text.find("] ");
  return end == std::string::npos ? text : text.substr(end + 2);
}

/// Builds a value from the library's parse events (nlohmann::json_sax).
class Builder {
 public:
  Builder(Json& root, const std::string& source) : root_(&root), source_(source) {}

  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(int64_t value) { return add(value); }
  bool number_unsigned(uint64_t value) { return add(value); }
  bool number_float(double value, const std::string&) { return add(value); }
  bool string(std::string& value) { return add(std::move(value)); }
  bool binary(Json::binary_t&) { return false; }  // not in texts
  bool start_object(size_t) { return open(Json::value_t::object); }
  bool start_array(size_t) { return open(Json::value_t::array); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool key(std::string& name) {
    const auto [member, is_new] = open_.back()->get_ref<Json::object_t&>().try_emplace(name);
    if (!is_new) fail(source_, ": bad JSON: duplicate key \"", name, "\"");
    member_ = &member->second;
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception& e) {
    fail(source_, ": bad JSON: ", reason(e));
  }

 private:
  /// Where the next value belongs: in the array that is open, behind the last key, or at the root.
  Json& place() {
    if (open_.empty()) return *root_;
    return open_.back()->is_array() ? open_.back()->get_ref<Json::array_t&>().emplace_back() : *member_;
  }
  template <class Value>
  bool add(Value&& value) {
    place() = std::forward<Value>(value);
    return true;
  }
  bool open(Json::value_t type) {
    if (open_.size() == kMaxJsonDepth)
      fail(source_, ": bad JSON: nested deeper than ", kMaxJsonDepth, " levels");
    Json& value = place();
    value = Json(type);
    open_.push_back(&value);
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  Json* root_;
  const std::string& source_;
  std::vector<Json*> open_;  // an array does not grow, and move its values, while one of them is open
  Json* member_ = nullptr;
};

}  // namespace

Json parse_json(std::string_view text, const std::string& source) {
  Json json;
  Builder builder(json, source);
  Json::sax_parse(text, &builder);
  return json;
}

Json read_json_file(const std::string& path) {
  const MappedFile file(path);
  refuse_lfs_pointer(file.text(), path);
  return parse_json(file.text(), path);
}

std::string quote_json(const Json& json) {
  constexpr size_t kLength = 80;
  const std::string text = dump_json(json);
  return text.size() <= kLength ? text : text.substr(0, kLength) + "...";
}

std::string dump_json(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace rotor
