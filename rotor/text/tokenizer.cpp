// Tells the kind of a tokenizer file by its contents.
#include "rotor/text/tokenizer.h"

#include "rotor/core/error.h"
#include "rotor/formats/mapped_file.h"
#include "rotor/text/bpe_loader.h"
#include "rotor/text/sentencepiece_tokenizer.h"

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

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path) {
  const MappedFile file(path);
  const std::string_view contents(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  const size_t start = contents.find_first_not_of(" \t\r\n");
  if (start == std::string_view::npos) fail(path, ": not a tokenizer: the file is empty");
  std::unique_ptr<Tokenizer> tokenizer;
  try {
    if (contents[start] == '{') {
      tokenizer = std::make_unique<ByteLevelBpe>(read_tokenizer_json(contents, path));
    } else if (looks_like_tiktoken(contents)) {
      tokenizer = std::make_unique<ByteLevelBpe>(read_tiktoken(contents, path));
    } else {
      tokenizer = std::make_unique<SentencePieceTokenizer>(contents, path);
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
