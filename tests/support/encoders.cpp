#include "tests/support/encoders.h"

#include <filesystem>

#include "rotor/core/error.h"
#include "rotor/formats/checkpoint.h"
#include "rotor/formats/json.h"
#include "tests/support/golden.h"
#include "tests/support/temp_dir.h"

namespace rotor::test {

void write_golden_bert(const std::string& directory) {
  for (const char* name : {"config.json", "model.safetensors", "tokenizer.json", "vocab.txt",
                           "tokenizer_config.json", "modules.json", "sentence_bert_config.json"}) {
    std::filesystem::create_directories(directory);
    std::filesystem::copy_file(golden_path(cat("bert-tiny/", name)), cat(directory, "/", name));
  }
  std::filesystem::create_directories(directory + "/1_Pooling");
  std::filesystem::copy_file(golden_path("bert-tiny/1_Pooling/config.json"),
                             directory + "/1_Pooling/config.json");
}

void export_encoder(const std::string& directory, const std::string& path,
                    const exporting::ExportOptions& options) {
  exporting::export_rotor(Checkpoint(directory), path, options, [](const auto&) {});
}

void write_golden_encoder(const std::string& path, DenseType layers, DenseType embeddings) {
  export_encoder(golden_path("bert-tiny"), path, {.layers = layers, .embeddings = embeddings});
}

std::vector<std::string> golden_bert_texts() {
  return read_json_file(golden_path("bert-tiny/texts.json")).get<std::vector<std::string>>();
}

void replace_in_file(const std::string& path, const std::string& from, const std::string& to) {
  std::string contents = read_bytes(path);
  const size_t at = contents.find(from);
  if (at == std::string::npos || contents.find(from, at + 1) != std::string::npos)
    fail(path, ": expected one \"", from, "\"");
  write_bytes(path, contents.replace(at, from.size(), to));
}

}  // namespace rotor::test
