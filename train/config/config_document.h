// A YAML file read strictly: every key must be known, every value of the right type and in range, and every
// error names file, line, key, what was expected and what was found. Overrides (`--set a.b=c`) are laid over
// the file first.
#pragma once

#include <yaml-cpp/yaml.h>

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace rotor::train {

class ConfigDocument {
 public:
  /// Throws Error if the file cannot be read or is not YAML, or if an override is not KEY.PATH=VALUE.
  ConfigDocument(const std::string& path, const std::vector<std::string>& overrides);

  /// The same of YAML text; `source` names it in errors.
  static ConfigDocument from_text(const std::string& text, const std::string& source);

  const YAML::Node& root() const { return root_; }
  const std::string& path() const { return path_; }

  /// Where the value of `key_path` came from: "file:line" or the override's text.
  std::string location(const std::string& key_path, const YAML::Node& node) const;

 private:
  ConfigDocument() = default;
  void apply_override(const std::string& text);

  std::string path_;
  YAML::Node root_;
  std::map<std::string, std::string> override_of_;  // key path -> "--set ..."
};

/// One map of a document. Getters remember the keys they ask for; done() refuses all others, naming the
/// nearest valid key.
class ConfigSection {
 public:
  /// The root of a document.
  explicit ConfigSection(const ConfigDocument& document);

  /// Whether `key` has a value; a null (`key: ~`, `--set key=`) counts as none.
  bool has(const std::string& key) const;
  /// The map under `key`; an empty one if the key is absent.
  ConfigSection section(const std::string& key);

  /// Values with a default, or required if it is absent. Numbers outside [low, high] are errors.
  int64_t integer(const std::string& key, std::optional<int64_t> fallback, int64_t low, int64_t high);
  double number(const std::string& key, std::optional<double> fallback, double low, double high);
  bool boolean(const std::string& key, std::optional<bool> fallback);
  std::string text(const std::string& key, std::optional<std::string> fallback);
  /// One of `choices`.
  std::string choice(const std::string& key, std::optional<std::string> fallback,
                     const std::vector<std::string>& choices);
  std::vector<int64_t> integers(const std::string& key, std::optional<std::vector<int64_t>> fallback,
                                int64_t low, int64_t high);
  std::vector<double> numbers(const std::string& key, std::optional<std::vector<double>> fallback, double low,
                              double high);
  std::vector<std::string> texts(const std::string& key, std::optional<std::vector<std::string>> fallback);

  /// Throws Error for the first key that no getter asked for.
  void done() const;
  /// Throws Error about `key`, saying where it stands.
  [[noreturn]] void fail_at(const std::string& key, const std::string& message) const;

 private:
  ConfigSection(const ConfigDocument& document, YAML::Node node, std::string path);
  void check_map() const;
  std::string key_path(const std::string& key) const { return path_.empty() ? key : path_ + "." + key; }
  /// The node under `key`, or nothing; remembers the key. Throws Error if it is required and absent.
  std::optional<YAML::Node> find(const std::string& key, bool required);
  template <class T>
  T value(const std::string& key, const std::optional<T>& fallback, const std::string& expected, T low,
          T high);
  template <class T>
  std::vector<T> list(const std::string& key, const std::optional<std::vector<T>>& fallback,
                      const std::string& expected, T low, T high);
  [[noreturn]] void wrong(const std::string& key, const std::string& expected, const YAML::Node& found) const;

  const ConfigDocument* document_;
  YAML::Node node_;
  std::string path_;
  std::vector<std::string> known_;
};

}  // namespace rotor::train
