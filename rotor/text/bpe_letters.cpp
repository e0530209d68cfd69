// GPT-2's alphabet of bytes (openai/gpt-2, encoder.py, bytes_to_unicode): printable ones stand for
// themselves, the others are the code points from U+0100 on, in order.
#include "rotor/text/bpe_letters.h"

#include <array>
#include <cstdint>
#include <unordered_map>

#include "rotor/core/error.h"

namespace rotor::text {
namespace {

/// All letters are below U+0144, so that they take one or two bytes in UTF-8.
struct Alphabet {
  std::array<unsigned, 256> code_point;
  std::array<int, 512> byte;

  Alphabet() {
    byte.fill(-1);
    unsigned next = 256;
    for (unsigned b = 0; b < 256; ++b) {
      const bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || (b >= 0xAE && b <= 0xFF);
      code_point[b] = printable ? b : next++;
      byte[code_point[b]] = static_cast<int>(b);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet kAlphabet;
  return kAlphabet;
}

}  // namespace

std::string bytes_of_letters(std::string_view token, const std::string& path) {
  std::string bytes;
  for (size_t i = 0; i < token.size(); ++i) {
    unsigned point = static_cast<uint8_t>(token[i]);
    if (point >= 0xC0 && point < 0xE0 && i + 1 < token.size()) {
      point = (point & 0x1F) << 6 | (static_cast<uint8_t>(token[++i]) & 0x3F);
    }
    if (point >= alphabet().byte.size() || alphabet().byte[point] < 0)
      fail(path, ": token \"", token, "\": not in the byte-level alphabet");
    bytes.push_back(static_cast<char>(alphabet().byte[point]));
  }
  return bytes;
}

std::string letters_of_bytes(std::string_view bytes) {
  std::string letters;
  for (const char byte : bytes) {
    const unsigned point = alphabet().code_point[static_cast<uint8_t>(byte)];
    if (point < 0x80) {
      letters.push_back(static_cast<char>(point));
    } else {
      letters.push_back(static_cast<char>(0xC0 | point >> 6));
      letters.push_back(static_cast<char>(0x80 | (point & 0x3F)));
    }
  }
  return letters;
}

std::vector<std::string> token_texts(const BpeDefinition& bpe) {
  std::vector<std::string> texts;
  texts.reserve(bpe.tokens.size());
  for (const std::string& bytes : bpe.tokens) texts.push_back(letters_of_bytes(bytes));
  for (const auto& [name, id] : bpe.specials) texts[static_cast<size_t>(id)] = name;
  std::unordered_map<std::string_view, size_t> ids;
  for (size_t id = 0; id < texts.size(); ++id) {
    const auto [first, is_new] = ids.emplace(texts[id], id);
    if (!is_new && !texts[id].empty()) {
      fail("byte-level BPE: tokens ", first->second, " and ", id, " are both written \"", texts[id], "\"");
    }
  }
  return texts;
}

}  // namespace rotor::text
