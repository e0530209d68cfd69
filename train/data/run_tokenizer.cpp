// SentencePiece learns from the files or lines of the corpus, in their order.
#include "train/data/run_tokenizer.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>

#include "rotor/core/error.h"
#include "rotor/formats/atomic_file.h"
#include "rotor/formats/json.h"
#include "rotor/formats/mapped_file.h"
#include "rotor/text/tokenizer.h"
#include "rotor/text/train_sentencepiece.h"
#include "train/data/text_files.h"

namespace rotor::train {
namespace {

/// The field `field` of each line of JSON-lines files.
text::NextText read_fields(std::vector<std::string> paths, const std::string& field) {
  struct State {
    std::vector<std::string> paths;
    size_t next = 0;
    std::ifstream file;
    size_t line = 0;
  };
  const auto state = std::make_shared<State>();
  state->paths = std::move(paths);
  return [state, field](std::string& text) {
    std::string line;
    while (true) {
      if (state->file.is_open() && std::getline(state->file, line)) {
        ++state->line;
        if (line.empty()) continue;
        const std::string source = cat(state->paths[state->next - 1], ":", state->line);
        const Json json = parse_json(line, source);
        if (!json.is_object() || !json.contains(field) || !json[field].is_string()) {
          fail(source, ": expected an object with a string \"", field, "\", found ", quote_json(json));
        }
        text = json[field].get<std::string>();
        return true;
      }
      if (state->next == state->paths.size()) return false;
      state->file = std::ifstream(state->paths[state->next]);
      if (!state->file) fail(state->paths[state->next], ": cannot open");
      ++state->next;
      state->line = 0;
    }
  };
}

}  // namespace

void train_tokenizer(const TrainConfig& config, const std::string& path) {
  const TextFormat format = text_format(config.text.type);
  std::vector<std::string> paths;
  for (const TextFile& file : list_text_files(config.text.path, format)) paths.push_back(file.path);
  text::SentencePieceOptions options;
  options.model_type = config.tokenizer.model_type;
  options.vocab_size = config.tokenizer.vocab_size;
  options.byte_fallback = config.tokenizer.byte_fallback;
  options.character_coverage = config.tokenizer.character_coverage;
  options.seed = config.seed;
  std::fprintf(stderr, "training a tokenizer (SentencePiece %s) on %s\n", options.model_type.c_str(),
               config.text.path.c_str());
  text::train_sentencepiece(
      options,
      format == TextFormat::text ? text::read_lines(paths) : read_fields(paths, config.text.text_field),
      path);
}

std::string prepare_tokenizer(const TrainConfig& config) {
  if (!config.tokenizer.path.empty()) {
    const std::string file = text::tokenizer_file(config.tokenizer.path);
    if (file.empty())
      fail(config.tokenizer.path, ": expected tokenizer.json or tokenizer.model in this folder");
    return file;
  }
  const std::string path = config.output_dir + "/tokenizer.model";
  const std::string kept = config.output_dir + "/checkpoint/tokenizer.model";
  if (std::filesystem::exists(kept)) {
    write_file(path, MappedFile(kept).text());
  } else {
    train_tokenizer(config, path);
  }
  return path;
}

}  // namespace rotor::train
