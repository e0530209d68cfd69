// SentencePiece learns from the files, lines or conversations of the corpus, in their order.
#include "train/data/run_tokenizer.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <vector>

#include "rotor/core/error.h"
#include "rotor/formats/atomic_file.h"
#include "rotor/formats/json.h"
#include "rotor/formats/mapped_file.h"
#include "rotor/text/tokenizer.h"
#include "rotor/text/train_sentencepiece.h"
#include "train/data/chat_record.h"
#include "train/data/text_files.h"

namespace rotor::train {
namespace {

/// The texts in a line of a JSON-lines file; `source` names it in errors.
using TextsOf = std::function<std::vector<std::string>(const std::string& line, const std::string& source)>;

TextsOf field_of(const std::string& field) {
  return [field](const std::string& line, const std::string& source) {
    const Json json = parse_json(line, source);
    if (!json.is_object() || !json.contains(field) || !json[field].is_string()) {
      fail(source, ": expected an object with a string \"", field, "\", found ", quote_json(json));
    }
    return std::vector{json[field].get<std::string>()};
  };
}

/// What all say in a conversation; what a template writes around it is not known here.
std::vector<std::string> contents_of(const std::string& line, const std::string& source) {
  const OrderedJson json = parse_ordered_json(line, source);
  ChatRecord chat;
  try {
    chat = read_chat_record(json);
  } catch (const Error& e) {
    fail(source, ": ", e.what());
  }
  if (chat.is_text()) return {chat.text};
  std::vector<std::string> contents;
  for (const OrderedJson& message : chat.messages) {
    if (message.contains("content") && message["content"].is_string())
      contents.push_back(message["content"].get<std::string>());
  }
  return contents;
}

/// Lines that `skip_bad` allows to be no conversations.
TextsOf contents_if_any(bool skip_bad) {
  return [skip_bad](const std::string& line, const std::string& source) -> std::vector<std::string> {
    try {
      return contents_of(line, source);
    } catch (const Error&) {
      if (!skip_bad) throw;
      return {};
    }
  };
}

text::NextText read_json_lines(std::vector<std::string> paths, TextsOf texts_of) {
  struct State {
    std::vector<std::string> paths;
    TextsOf texts_of;
    size_t next = 0;
    std::ifstream file;
    size_t line = 0;
    std::vector<std::string> texts;  // of the line, the last one first
  };
  const auto state = std::make_shared<State>();
  state->paths = std::move(paths);
  state->texts_of = std::move(texts_of);
  return [state](std::string& text) {
    std::string line;
    while (state->texts.empty()) {
      if (state->file.is_open() && std::getline(state->file, line)) {
        ++state->line;
        if (line.empty()) continue;
        state->texts = state->texts_of(line, cat(state->paths[state->next - 1], ":", state->line));
        std::ranges::reverse(state->texts);
        continue;
      }
      if (state->next == state->paths.size()) return false;
      state->file = std::ifstream(state->paths[state->next]);
      if (!state->file) fail(state->paths[state->next], ": cannot open");
      ++state->next;
      state->line = 0;
    }
    text = std::move(state->texts.back());
    state->texts.pop_back();
    return true;
  };
}

text::NextText read_texts(const TextDataConfig& data) {
  const bool is_chat = data.type == "chat";
  const TextFormat format = is_chat ? TextFormat::jsonl : text_format(data.type);
  std::vector<std::string> paths;
  for (const TextFile& file : list_text_files(data.path, format)) paths.push_back(file.path);
  if (format == TextFormat::text) return text::read_lines(paths);
  return read_json_lines(std::move(paths),
                         is_chat ? contents_if_any(data.skip_bad) : field_of(data.text_field));
}

}  // namespace

void train_tokenizer(const TrainConfig& config, const std::string& path) {
  text::SentencePieceOptions options;
  options.model_type = config.tokenizer.model_type;
  options.vocab_size = config.tokenizer.vocab_size;
  options.byte_fallback = config.tokenizer.byte_fallback;
  options.character_coverage = config.tokenizer.character_coverage;
  options.seed = config.seed;
  std::fprintf(stderr, "training a tokenizer (SentencePiece %s) on %s\n", options.model_type.c_str(),
               config.text.path.c_str());
  text::train_sentencepiece(options, read_texts(config.text), path);
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
