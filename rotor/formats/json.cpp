// nlohmann-json, with its parse events used to refuse duplicate keys.
#include "rotor/formats/json.h"

#include <set>
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

}  // namespace

Json parse_json(std::string_view text, const std::string& source) {
  std::vector<std::set<std::string>> open_objects;
  const auto on_event = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > kMaxJsonDepth) fail(source, ": bad JSON: nested deeper than ", kMaxJsonDepth, " levels");
    switch (event) {
      case Json::parse_event_t::object_start:
        open_objects.emplace_back();
        break;
      case Json::parse_event_t::object_end:
        open_objects.pop_back();
        break;
      case Json::parse_event_t::key:
        if (const auto& key = parsed.get_ref<const std::string&>(); !open_objects.back().insert(key).second) {
          fail(source, ": bad JSON: duplicate key \"", key, "\"");
        }
        break;
      default:
        break;
    }
    return true;
  };
  try {
    return Json::parse(text, on_event);
  } catch (const Json::exception& e) {
    fail(source, ": bad JSON: ", reason(e));
  }
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
