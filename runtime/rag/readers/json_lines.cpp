// JSON lines: {"id": ..., "title": ..., "text": ...} each; what else is in them becomes metadata.
#include <fstream>

#include "rotor/core/error.h"
#include "runtime/rag/readers/reader.h"

namespace rotor::runtime::rag {
namespace {

constexpr size_t kLongestLine = 64 << 20;

std::string scalar_text(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

/// The first of these fields that is there, taken out.
std::optional<Json> take_field(Json& object, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (!object.contains(name)) continue;
    Json value = std::move(object[name]);
    object.erase(name);
    return value;
  }
  return std::nullopt;
}

Document read_line(const std::string& line, const std::string& where, const std::string& path,
                   int64_t number) {
  Json object = parse_json(line, where);
  if (!object.is_object()) fail(where, ": expected an object, found ", quote_json(object));
  const auto text = take_field(object, {"text", "content", "contents", "body"});
  if (!text || !text->is_string()) {
    fail(where, ": text: expected a string, found ", text ? quote_json(*text) : "none");
  }
  const auto id = take_field(object, {"id", "_id", "doc_id"});
  if (id && !id->is_string() && !id->is_number_integer())
    fail(where, ": id: expected a string or an integer, found ", quote_json(*id));
  const auto title = take_field(object, {"title"});
  const auto source = take_field(object, {"source", "url"});
  Document document = read_plain_text(text->get<std::string>());
  for (Block& block : document.blocks) block.place = {number, 0};
  document.id = path + "#" + (id ? scalar_text(*id) : std::to_string(number));
  document.title = title && title->is_string() ? title->get<std::string>() : "";
  document.source = source && source->is_string() ? source->get<std::string>() : path;
  Json metadata = Json::object();
  if (const auto nested = take_field(object, {"metadata"}); nested && nested->is_object()) metadata = *nested;
  for (const auto& [field, value] : object.items()) metadata[field] = value;
  // What no filter can ask for is kept as text.
  for (auto& [field, value] : metadata.items()) {
    if (value.is_object()) value = value.dump();
    if (!value.is_array()) continue;
    for (Json& element : value) {
      if (element.is_structured() || element.is_null()) element = element.dump();
    }
  }
  document.metadata = std::move(metadata);
  return document;
}

}  // namespace

void read_json_lines(const std::string& path, const ReadOptions& options, const OnDocument& on_document) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) fail(path, ": cannot be read");
  const auto size = static_cast<int64_t>(file.tellg());
  file.seekg(0);
  int64_t number = 0;
  int64_t done = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    done += std::ssize(line) + 1;
    const std::string where = cat(path, ", line ", number);
    if (line.size() > kLongestLine)
      fail(where, ": expected at most ", kLongestLine, " bytes, found ", line.size());
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    if (!on_document(read_line(to_utf8(line, options.encoding, where), where, path, number))) return;
    if (options.progress) options.progress(done, size);
  }
  if (file.bad()) fail(path, ": reading failed");
}

}  // namespace rotor::runtime::rag
