// Strict reading on top of yaml-cpp.
#include "train/config/config_document.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "rotor/core/edit_distance.h"
#include "rotor/core/error.h"

namespace rotor::train {
namespace {

std::string node_text(const YAML::Node& node) {
  YAML::Emitter emitter;
  emitter << YAML::Flow << node;
  return emitter.c_str();
}

YAML::Node parse_yaml(const std::string& text, const std::string& source) {
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.size() > 1) fail(source, ": expected one YAML document, found ", documents.size());
    return documents.empty() ? YAML::Node() : documents[0];
  } catch (const YAML::Exception& e) {
    fail(source, ":", e.mark.line + 1, ": bad YAML: ", e.msg);
  }
}

/// Whether a scalar of YAML type T is written there and in range. YAML quotes make strings, which are no
/// numbers.
template <class T>
bool read_scalar(const YAML::Node& node, T& out) {
  if (!node.IsScalar()) return false;
  const bool quoted = node.Tag() == "!";
  if (quoted && !std::is_same_v<T, std::string>) return false;
  try {
    out = node.as<T>();
    return true;
  } catch (const YAML::Exception&) {
    return false;
  }
}

template <class T>
bool in_range(const T& value, const T& low, const T& high) {
  if constexpr (std::is_arithmetic_v<T>) return value >= low && value <= high;  // false for NaN
  return true;
}

template <class T>
std::string range_text(const std::string& expected, const T& low, const T& high) {
  if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {
    if (high == std::numeric_limits<T>::max()) return cat(expected, " of at least ", low);
    return cat(expected, " from ", low, " to ", high);
  }
  return expected;
}

}  // namespace

ConfigDocument::ConfigDocument(const std::string& path, const std::vector<std::string>& overrides)
    : path_(path) {
  std::ifstream file(path);
  if (!file || std::filesystem::is_directory(path)) fail(path, ": cannot open config file");
  std::ostringstream text;
  text << file.rdbuf();
  root_ = parse_yaml(text.str(), path);
  if (root_.IsNull()) root_ = YAML::Node(YAML::NodeType::Map);
  for (const std::string& override : overrides) apply_override(override);
}

ConfigDocument ConfigDocument::from_text(const std::string& text, const std::string& source) {
  ConfigDocument document;
  document.path_ = source;
  document.root_ = parse_yaml(text, source);
  return document;
}

void ConfigDocument::apply_override(const std::string& text) {
  const size_t equals = text.find('=');
  const std::string source = "--set " + text;
  if (equals == std::string::npos || equals == 0 || text[equals - 1] == '.')
    fail(source, ": expected KEY.PATH=VALUE");
  const std::string key_path = text.substr(0, equals);
  const YAML::Node value = parse_yaml(text.substr(equals + 1), source);
  YAML::Node node = root_;
  std::istringstream parts(key_path);
  std::vector<std::string> keys;
  for (std::string key; std::getline(parts, key, '.');) keys.push_back(key);
  for (size_t i = 0; i + 1 < keys.size(); ++i) {
    YAML::Node next = node[keys[i]];
    if (!next.IsDefined() || next.IsNull()) node[keys[i]] = YAML::Node(YAML::NodeType::Map);
    next.reset(node[keys[i]]);
    if (!next.IsMap()) fail(source, ": \"", keys[i], "\" is not a section");
    node.reset(next);
  }
  if (!node.IsMap()) fail(source, ": ", path_, " is not a map of keys");
  node[keys.back()] = value;
  override_of_[key_path] = source;
}

std::string ConfigDocument::location(const std::string& key_path, const YAML::Node& node) const {
  for (std::string prefix = key_path;;) {
    if (const auto it = override_of_.find(prefix); it != override_of_.end()) return it->second;
    const size_t dot = prefix.rfind('.');
    if (dot == std::string::npos) break;
    prefix.resize(dot);
  }
  return node.IsDefined() && node.Mark().line >= 0 ? cat(path_, ":", node.Mark().line + 1) : path_;
}

ConfigSection::ConfigSection(const ConfigDocument& document) : ConfigSection(document, document.root(), "") {}

ConfigSection::ConfigSection(const ConfigDocument& document, YAML::Node node, std::string path)
    : document_(&document), node_(std::move(node)), path_(std::move(path)) {
  check_map();
}

void ConfigSection::check_map() const {
  if (!node_.IsMap()) {
    fail(document_->location(path_, node_), ": ", path_.empty() ? "config" : path_,
         ": expected keys and values, found ", node_text(node_));
  }
  std::set<std::string> seen;
  for (const auto& entry : node_) {
    std::string key;
    if (!read_scalar(entry.first, key))
      fail(document_->location(path_, entry.first), ": expected a plain key");
    if (!seen.insert(key).second) {
      fail(document_->location(key_path(key), entry.first), ": ", key_path(key),
           ": the key stands here a second time");
    }
  }
}

bool ConfigSection::has(const std::string& key) const {
  const YAML::Node found = static_cast<const YAML::Node&>(node_)[key];
  return found.IsDefined() && !found.IsNull();
}

std::optional<YAML::Node> ConfigSection::find(const std::string& key, bool required) {
  known_.push_back(key);
  if (has(key)) return static_cast<const YAML::Node&>(node_)[key];
  if (required) fail(document_->location(path_, node_), ": ", key_path(key), " is missing");
  return std::nullopt;
}

ConfigSection ConfigSection::section(const std::string& key) {
  const auto found = find(key, false);
  return {*document_, found && !found->IsNull() ? *found : YAML::Node(YAML::NodeType::Map), key_path(key)};
}

void ConfigSection::fail_at(const std::string& key, const std::string& message) const {
  const YAML::Node found = static_cast<const YAML::Node&>(node_)[key];
  fail(document_->location(key_path(key), found.IsDefined() ? found : node_), ": ", key_path(key), ": ",
       message);
}

void ConfigSection::wrong(const std::string& key, const std::string& expected,
                          const YAML::Node& found) const {
  fail_at(key, cat("expected ", expected, ", found ", node_text(found)));
}

template <class T>
T ConfigSection::value(const std::string& key, const std::optional<T>& fallback, const std::string& expected,
                       T low, T high) {
  const auto node = find(key, !fallback.has_value());
  if (!node) return *fallback;
  T result{};
  if (!read_scalar(*node, result) || !in_range(result, low, high))
    wrong(key, range_text(expected, low, high), *node);
  return result;
}

template <class T>
std::vector<T> ConfigSection::list(const std::string& key, const std::optional<std::vector<T>>& fallback,
                                   const std::string& expected, T low, T high) {
  const auto node = find(key, !fallback.has_value());
  if (!node) return *fallback;
  std::vector<T> result;
  bool good = node->IsSequence();
  for (size_t i = 0; good && i < node->size(); ++i) {
    T item{};
    good = read_scalar((*node)[i], item) && in_range(item, low, high);
    result.push_back(item);
  }
  if (!good) wrong(key, "a list of " + range_text(expected, low, high), *node);
  return result;
}

int64_t ConfigSection::integer(const std::string& key, std::optional<int64_t> fallback, int64_t low,
                               int64_t high) {
  return value<int64_t>(key, fallback, "a whole number", low, high);
}
double ConfigSection::number(const std::string& key, std::optional<double> fallback, double low,
                             double high) {
  return value<double>(key, fallback, "a number", low, high);
}
bool ConfigSection::boolean(const std::string& key, std::optional<bool> fallback) {
  return value<bool>(key, fallback, "true or false", false, true);
}
std::string ConfigSection::text(const std::string& key, std::optional<std::string> fallback) {
  return value<std::string>(key, fallback, "a text", {}, {});
}

std::string ConfigSection::choice(const std::string& key, std::optional<std::string> fallback,
                                  const std::vector<std::string>& choices) {
  const std::string found = text(key, std::move(fallback));
  if (std::find(choices.begin(), choices.end(), found) != choices.end()) return found;
  std::string valid;
  for (const std::string& choice : choices) valid += cat(valid.empty() ? "" : " | ", choice);
  fail_at(key, cat("expected ", valid, ", found ", found));
}

std::vector<int64_t> ConfigSection::integers(const std::string& key,
                                             std::optional<std::vector<int64_t>> fallback, int64_t low,
                                             int64_t high) {
  return list<int64_t>(key, fallback, "whole numbers", low, high);
}
std::vector<double> ConfigSection::numbers(const std::string& key,
                                           std::optional<std::vector<double>> fallback, double low,
                                           double high) {
  return list<double>(key, fallback, "numbers", low, high);
}
std::vector<std::string> ConfigSection::texts(const std::string& key,
                                              std::optional<std::vector<std::string>> fallback) {
  return list<std::string>(key, fallback, "texts", {}, {});
}

void ConfigSection::done() const {
  for (const auto& entry : node_) {
    const auto key = entry.first.as<std::string>();
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    const auto nearest = std::min_element(known_.begin(), known_.end(), [&](const auto& a, const auto& b) {
      return edit_distance(key, a) < edit_distance(key, b);
    });
    fail(document_->location(key_path(key), entry.first), ": ", key_path(key), ": unknown key",
         nearest == known_.end() ? "" : cat("; did you mean \"", *nearest, "\"?"));
  }
}

}  // namespace rotor::train
