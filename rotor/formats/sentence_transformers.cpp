// Modules are told by the last name of their Python type: packages were renamed, classes were not.
#include "rotor/formats/sentence_transformers.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"

namespace rotor {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModulesFile = "modules.json";

Json read_object(const std::string& path) {
  Json json = read_json_file(path);
  if (!json.is_object()) fail(path, ": expected an object, found ", quote_json(json));
  return json;
}

/// The text at `key` of a module.
std::string text_of(const Json& module, const char* key, const std::string& path) {
  if (!module.is_object() || !module.contains(key) || !module[key].is_string())
    fail(path, ": expected modules with a \"", key, "\", found ", quote_json(module));
  return module[key].get<std::string>();
}

Pooling pooling_named(const std::string& name, const std::string& path) {
  if (name == "mean" || name == "mean_tokens") return Pooling::mean;
  if (name == "cls" || name == "cls_token") return Pooling::cls;
  fail(path, ": pooling: expected mean or cls, found ", name);
}

/// Either "pooling_mode": "mean", or a "pooling_mode_<name>": true.
Pooling read_pooling(const std::string& path, int64_t hidden_size) {
  const Json json = read_object(path);
  for (const char* key : {"word_embedding_dimension", "embedding_dimension"}) {
    if (json.contains(key) && json[key] != hidden_size)
      fail(path, ": ", key, ": expected ", hidden_size, " (hidden_size), found ", quote_json(json[key]));
  }
  if (const auto mode = json.find("pooling_mode"); mode != json.end()) {
    if (!mode->is_string()) fail(path, ": pooling_mode: expected mean or cls, found ", quote_json(*mode));
    return pooling_named(mode->get<std::string>(), path);
  }
  constexpr std::string_view kPrefix = "pooling_mode_";
  std::vector<std::string> modes;
  for (const auto& [key, value] : json.items()) {
    if (key.starts_with(kPrefix) && value == true) modes.push_back(key.substr(kPrefix.size()));
  }
  if (modes.size() != 1) {
    std::string found;
    for (const std::string& mode : modes) found += (found.empty() ? "" : " and ") + mode;
    fail(path, ": expected one pooling_mode_... that is true, found ", modes.empty() ? "none" : found);
  }
  return pooling_named(modes.front(), path);
}

void read_modules(const std::string& directory, BertConfig& config) {
  const std::string path = directory + "/" + kModulesFile;
  const Json modules = read_json_file(path);
  if (!modules.is_array()) fail(path, ": expected an array of modules, found ", quote_json(modules));
  constexpr std::array kTypes = {"Transformer", "Pooling", "Normalize"};
  if (modules.size() < 2 || modules.size() > kTypes.size())
    fail(path, ": expected the modules Transformer, Pooling and perhaps Normalize, found ", modules.size());
  for (size_t i = 0; i < modules.size(); ++i) {
    const std::string type = text_of(modules[i], "type", path);
    if (type.substr(type.rfind('.') + 1) != kTypes[i]) {
      fail(path, ": module ", i, ": expected ", kTypes[i], ", found ", quote_json(modules[i]["type"]));
    }
  }
  if (const std::string place = text_of(modules[0], "path", path); !place.empty()) {
    fail(path, ": module 0: path: expected the encoder in this directory (\"\"), found \"", place,
         "\": export that directory, with the other files beside it");
  }
  const std::string place = text_of(modules[1], "path", path);
  if (place.empty() || place.find('/') != std::string::npos || place == "..")
    fail(path, ": module 1: path: expected a directory beside this file, found \"", place, "\"");
  config.pooling = read_pooling(directory + "/" + place + "/config.json", config.hidden_size);
  config.normalize = modules.size() == kTypes.size();
}

/// The whole number at `key` of a file, `fallback` if the file or the key is not there.
int64_t number_of(const std::string& path, const char* key, int64_t fallback) {
  if (!fs::exists(path)) return fallback;
  const Json json = read_object(path);
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return fallback;
  // What tokenizers say of texts without limit is 1e30.
  if (found->is_number() && found->get<double>() >= 1e9) return fallback;
  if (!found->is_number_integer() || *found < 2)
    fail(path, ": ", key, ": expected a number of at least 2, found ", quote_json(*found));
  return found->get<int64_t>();
}

}  // namespace

void read_sentence_transformers(const std::string& directory, BertConfig& config) {
  if (fs::exists(directory + "/" + kModulesFile)) read_modules(directory, config);
  const std::string encoder = directory + "/sentence_bert_config.json";
  if (fs::exists(encoder)) {
    const Json json = read_object(encoder);
    if (json.contains("do_lower_case") && json["do_lower_case"] != false)
      fail(encoder, ": do_lower_case: expected false (the tokenizer does that), found ",
           quote_json(json["do_lower_case"]));
  }
  const int64_t longest = config.max_position_embeddings;
  const int64_t of_tokenizer = number_of(directory + "/tokenizer_config.json", "model_max_length", longest);
  config.max_seq_length =
      std::min(longest, number_of(encoder, "max_seq_length", std::min(longest, of_tokenizer)));
}

}  // namespace rotor
