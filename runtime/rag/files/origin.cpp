#include "runtime/rag/files/origin.h"

#include <filesystem>

namespace rotor::runtime::rag {
namespace {

constexpr const char* kPrefix = "origin:";

Origin read_origin(const std::string& path, const std::string& text, const std::string& source) {
  const Json json = parse_json(text, source + ": origin " + path);
  Origin origin;
  origin.path = path;
  if (json.contains("kind")) origin.kind = file_kind(json["kind"].get<std::string>());
  origin.encoding = json.value("encoding", "");
  origin.metadata = json.value("metadata", Json::object());
  return origin;
}

}  // namespace

std::vector<Origin> origins(Store& store) {
  std::vector<Origin> all;
  for (const auto& [name, text] : store.notes(kPrefix))
    all.push_back(read_origin(name.substr(std::string(kPrefix).size()), text, store.name()));
  return all;
}

void keep_origin(Store& store, const Origin& origin) {
  Json json = {{"encoding", origin.encoding}, {"metadata", origin.metadata}};
  if (origin.kind) json["kind"] = name(*origin.kind);
  const std::string text = dump_json(json);
  const std::string note = kPrefix + origin.path;
  const auto before = store.notes(note);
  const auto same = before.find(note);
  if (same == before.end() || same->second != text) store.set_note(note, text);
}

bool forget_origin(Store& store, const std::string& path) {
  const std::string note = kPrefix + path;
  if (!store.notes(note).contains(note)) return false;
  store.set_note(note, std::nullopt);
  return true;
}

std::string absolute_path(const std::string& path) {
  std::string absolute = std::filesystem::absolute(path).lexically_normal().string();
  if (absolute.size() > 1 && absolute.ends_with('/')) absolute.pop_back();
  return absolute;
}

bool is_within(const std::string& path, const std::string& folder) {
  return path == folder || path.starts_with(folder.ends_with('/') ? folder : folder + "/");
}

}  // namespace rotor::runtime::rag
