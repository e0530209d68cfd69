// The texts' side of a Hugging Face directory. What the source holds in files is copied as it is, since it
// may say more than Rotor reads.
#include <filesystem>

#include "rotor/core/error.h"
#include "rotor/formats/atomic_file.h"
#include "rotor/formats/json.h"
#include "rotor/formats/mapped_file.h"
#include "rotor/text/model_text.h"
#include "rotor/text/tokenizer_files.h"

namespace rotor::text {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTextFiles[] = {
    "tokenizer.json", "tokenizer.model",   "tokenizer_config.json", "vocab.json",
    "merges.txt",     "added_tokens.json", "chat_template.jinja",   "special_tokens_map.json"};
constexpr const char* kMoreTemplates = "additional_chat_templates";

/// What transformers' generate() starts and stops with.
std::string generation_config_json(const TextMetadata& text) {
  Json json = {{"_from_model_config", false}};
  if (text.bos_token) json["bos_token_id"] = *text.bos_token;
  if (text.stop_tokens.size() == 1) json["eos_token_id"] = text.stop_tokens.front();
  if (text.stop_tokens.size() > 1) json["eos_token_id"] = text.stop_tokens;
  if (!text.stop_tokens.empty()) json["pad_token_id"] = text.stop_tokens.front();
  return dump_json(json, 2) + "\n";
}

/// Whether there is such a file.
bool copy_file(const std::string& from, const std::string& to, const std::string& name) {
  if (from.empty() || !fs::exists(from + "/" + name)) return false;
  const MappedFile source(from + "/" + name);
  write_file(to + "/" + name, source.text());
  source.check_intact();
  return true;
}

void copy_more_templates(const std::string& from, const std::string& to) {
  const std::string directory = from + "/" + kMoreTemplates;
  if (!fs::is_directory(directory)) return;
  fs::create_directory(to + "/" + kMoreTemplates);
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (entry.path().extension() != ".jinja") continue;
    copy_file(from, to, std::string(kMoreTemplates) + "/" + entry.path().filename().string());
  }
}

/// Instead of those that are there.
void write_templates(const std::string& templates, const std::string& directory) {
  const std::string more = directory + "/" + kMoreTemplates;
  fs::remove_all(more);
  for (const auto& [name, text] : named_templates(templates, "chat template")) {
    if (name == "default") {
      write_file(directory + "/chat_template.jinja", text);
      continue;
    }
    if (fs::path(name).filename() != name) fail("chat template \"", name, "\": expected the name of a file");
    fs::create_directories(more);
    write_file(more + "/" + name + ".jinja", text);
  }
}

}  // namespace

void write_model_text(const ModelText& text, const std::string& directory) {
  if (!copy_file(text.directory, directory, "generation_config.json")) {
    write_file(directory + "/generation_config.json", generation_config_json(text.metadata));
  }
  if (!text.directory.empty()) {
    for (const char* name : kTextFiles) copy_file(text.directory, directory, name);
    copy_more_templates(text.directory, directory);
  } else if (text.tokenizer != nullptr) {
    write_tokenizer_files(directory, *text.tokenizer, text.metadata);
  } else if (text.metadata.chat_template) {
    write_file(directory + "/chat_template.jinja", default_template(*text.metadata.chat_template));
  }
  if (text.template_replaced && !text.directory.empty())
    write_templates(*text.metadata.chat_template, directory);
}

}  // namespace rotor::text
