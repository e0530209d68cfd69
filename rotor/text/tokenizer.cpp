// Tells the kind of a tokenizer file by its contents.
#include "rotor/text/tokenizer.h"

#include <cstring>
#include <filesystem>

#include "rotor/core/error.h"
#include "rotor/formats/checksum.h"
#include "rotor/formats/mapped_file.h"
#include "rotor/formats/rotor_file.h"
#include "rotor/text/bpe_loader.h"
#include "rotor/text/sentencepiece.h"
#include "rotor/text/word_piece.h"
#include "rotor/text/word_piece_loader.h"

namespace rotor::text {
namespace {

/// A first line of base64, a space and digits.
bool looks_like_tiktoken(std::string_view contents) {
  const std::string_view line = contents.substr(0, contents.find('\n'));
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || space == 0 || line.size() > 1000) return false;
  return line.find_first_not_of("0123456789\r", space + 1) == std::string_view::npos &&
         line.substr(0, space).find_first_not_of(
             "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") == std::string_view::npos;
}

/// The tag of a first piece: field 1, bytes.
bool looks_like_sentencepiece(std::string_view contents) {
  return contents.starts_with('\n');
}

/// A header length such that the data start at a multiple of kRotorDataMultiple, and the beginning of JSON.
bool looks_like_rotor(std::string_view contents) {
  uint64_t length = 0;
  if (contents.size() <= sizeof(length)) return false;
  std::memcpy(&length, contents.data(), sizeof(length));
  return contents[sizeof(length)] == '{' && (sizeof(length) + length) % kRotorDataMultiple == 0;
}

std::string_view text_of(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::unique_ptr<Tokenizer> make_tokenizer(std::shared_ptr<const RotorFile> file) {
  const std::string path = file->path();
  const std::string kind = file->text().tokenizer;
  if (kind.empty()) return nullptr;
  try {
    if (kind == rotor_tokenizer::kByteLevelBpe) return std::make_unique<ByteLevelBpe>(std::move(file));
    if (kind == rotor_tokenizer::kWordPiece) return std::make_unique<WordPiece>(std::move(file));
    const auto& container = file->container();
    auto tokenizer =
        make_sentencepiece_tokenizer(text_of(container.bytes(container.at(kSentencePieceTensor))), path);
    file->check_intact();
    return tokenizer;
  } catch (const Error& e) {
    const std::string message = e.what();
    if (message.starts_with(path)) throw;
    fail(path, ": ", message);
  }
}

std::unique_ptr<Tokenizer> read_json(const Json& json, const std::string& path) {
  if (is_word_piece_json(json)) return std::make_unique<WordPiece>(read_word_piece_json(json, path));
  return std::make_unique<ByteLevelBpe>(read_tokenizer_json(json, path));
}

std::string existing_tokenizer_file(const std::string& path) {
  std::string file = tokenizer_file(path);
  if (file.empty()) fail(path, ": expected tokenizer.json, tokenizer.model or vocab.txt in this directory");
  return file;
}

}  // namespace

std::string tokenizer_file(const std::string& path) {
  if (!std::filesystem::is_directory(path)) return path;
  // Of a SentencePiece model tokenizer.json is a conversion, which is not read here.
  const auto model = std::filesystem::path(path) / "tokenizer.model";
  if (std::filesystem::exists(model) && looks_like_sentencepiece(MappedFile(model).text())) return model;
  for (const char* name : {"tokenizer.json", "tokenizer.model", "vocab.txt"}) {
    if (const auto file = std::filesystem::path(path) / name; std::filesystem::exists(file)) return file;
  }
  return "";
}

std::string tokenizer_hash(const std::string& path) {
  const MappedFile file(existing_tokenizer_file(path));
  if (looks_like_rotor(file.text())) {
    fail(path, ": expected tokenizer.json or tokenizer.model, found a .rotor file");
  }
  std::string hash = checksum(file.bytes());
  file.check_intact();
  return hash;
}

std::unique_ptr<Tokenizer> tokenizer_of(const RotorFile& file) {
  return make_tokenizer({&file, [](const RotorFile*) {}});
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& directory_or_file) {
  const std::string path = existing_tokenizer_file(directory_or_file);
  const MappedFile file(path);
  const std::string_view contents = file.text();
  if (looks_like_rotor(contents)) {
    auto tokenizer = make_tokenizer(std::make_shared<RotorFile>(path));
    if (tokenizer == nullptr) fail(path, ": this model file holds no tokenizer");
    return tokenizer;
  }
  const size_t start = contents.find_first_not_of(" \t\r\n");
  if (start == std::string_view::npos) fail(path, ": not a tokenizer: the file is empty");
  std::unique_ptr<Tokenizer> tokenizer;
  try {
    if (std::filesystem::path(path).filename() == "vocab.txt") {
      tokenizer = std::make_unique<WordPiece>(read_vocab_txt(contents, path));
    } else if (contents[start] == '{') {
      tokenizer = read_json(parse_json(contents, path), path);
    } else if (looks_like_tiktoken(contents)) {
      tokenizer = std::make_unique<ByteLevelBpe>(read_tiktoken(contents, path));
    } else {
      tokenizer = make_sentencepiece_tokenizer(contents, path);
    }
  } catch (const Error& e) {
    const std::string message = e.what();
    if (message.starts_with(path)) throw;
    fail(path, ": ", message);
  }
  file.check_intact();
  return tokenizer;
}

}  // namespace rotor::text
