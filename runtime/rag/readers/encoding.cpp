// Texts in any encoding, by iconv; which one it is, uchardet guesses.
#include <iconv.h>
#include <uchardet.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>

#include "rotor/core/error.h"
#include "runtime/rag/readers/reader.h"

namespace rotor::runtime::rag {
namespace {

constexpr size_t kLookedAt = 1 << 20;  // bytes from which the encoding is guessed

/// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t size = lead < 0x80   ? 1
                        : lead < 0xC2 ? 0
                        : lead < 0xE0 ? 2
                        : lead < 0xF0 ? 3
                        : lead < 0xF5 ? 4
                                      : 0;
    if (size == 0 || i + size > text.size()) return false;
    for (size_t j = 1; j < size; ++j) {
      const auto byte = static_cast<unsigned char>(text[i + j]);
      const unsigned char low = j == 1 && lead == 0xE0 ? 0xA0 : j == 1 && lead == 0xF0 ? 0x90 : 0x80;
      const unsigned char high = j == 1 && lead == 0xED ? 0x9F : j == 1 && lead == 0xF4 ? 0x8F : 0xBF;
      if (byte < low || byte > high) return false;
    }
    i += size;
  }
  return true;
}

std::string convert(std::string_view bytes, const std::string& encoding, const std::string& path) {
  const iconv_t made = iconv_open("UTF-8", encoding.c_str());
  if (made == reinterpret_cast<iconv_t>(-1)) {
    fail(path, ": encoding: expected one that iconv knows (iconv -l lists them), found \"", encoding, "\"");
  }
  const std::unique_ptr<void, decltype(&iconv_close)> converter(made, iconv_close);
  std::string text;
  std::array<char, 65536> piece;
  std::string input(bytes);  // iconv takes no const
  char* from = input.data();
  size_t left = input.size();
  while (left > 0) {
    char* to = piece.data();
    size_t room = piece.size();
    const size_t result = iconv(converter.get(), &from, &left, &to, &room);
    text.append(piece.data(), piece.size() - room);
    if (result == static_cast<size_t>(-1) && errno != E2BIG) {
      fail(path, ": byte ", input.size() - left, " is not ", encoding, "; --encoding says what it is");
    }
  }
  return text;
}

std::string guessed_encoding(std::string_view bytes) {
  const std::unique_ptr<uchardet, decltype(&uchardet_delete)> detector(uchardet_new(), uchardet_delete);
  uchardet_handle_data(detector.get(), bytes.data(), std::min(bytes.size(), kLookedAt));
  uchardet_data_end(detector.get());
  return uchardet_get_charset(detector.get());
}

}  // namespace

std::string to_utf8(std::string_view bytes, const std::string& encoding, const std::string& path) {
  std::string text;
  if (!encoding.empty()) {
    text = convert(bytes, encoding, path);
  } else if (bytes.starts_with("\xFF\xFE") || bytes.starts_with("\xFE\xFF")) {
    text = convert(bytes, "UTF-16", path);
  } else if (is_utf8(bytes)) {
    text = bytes;
  } else {
    if (bytes.find('\0') != std::string_view::npos)
      fail(path, ": expected a text, found a binary file (byte ", bytes.find('\0'), " is 0)");
    const std::string guess = guessed_encoding(bytes);
    if (guess.empty()) fail(path, ": its encoding is not known; --encoding says what it is");
    text = convert(bytes, guess, path);
  }
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  if (const size_t zero = text.find('\0'); zero != std::string::npos)
    fail(path, ": expected a text, found a binary file (character ", zero, " is 0)");
  return text;
}

}  // namespace rotor::runtime::rag
