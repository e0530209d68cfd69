#include "runtime/cli/jsonl_texts.h"

#include <fstream>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"

namespace rotor::runtime::cli {

void for_each_jsonl_text(const std::string& path, const std::function<void(std::string text)>& on_text) {
  std::ifstream file(path);
  if (!file) fail(path, ": cannot open");
  std::string line;
  for (size_t number = 1; std::getline(file, line); ++number) {
    if (line.empty()) continue;
    const std::string source = cat(path, ":", number);
    const Json json = parse_json(line, source);
    if (!json.is_object() || !json.contains("text") || !json["text"].is_string()) {
      fail(source, ": expected {\"text\": ...}, found ", quote_json(json));
    }
    on_text(json["text"].get<std::string>());
  }
}

}  // namespace rotor::runtime::cli
