// Texts in any encoding, by iconv; which one it is, uchardet guesses.
#include <iconv.h>
#include <uchardet.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>

#include "rotor/core/error.h"
#include "rotor/text/stream_decoder.h"
#include "runtime/rag/readers/reader.h"
#include "runtime/rag/readers/text.h"

namespace rotor::runtime::rag {
namespace {

constexpr size_t kLookedAt = 1 << 20;  // bytes from which the encoding is guessed
constexpr const char* kHelp = "; --encoding says what it is";

/// Calls `next` with UTF-8 by pieces. False if iconv does not know the encoding; else `bad` is the first byte
/// that is none of it, or npos.
bool convert(std::string_view bytes, const std::string& encoding, std::string& text, size_t& bad) {
  const iconv_t made = iconv_open("UTF-8", encoding.c_str());
  if (made == reinterpret_cast<iconv_t>(-1)) return false;
  const std::unique_ptr<void, decltype(&iconv_close)> converter(made, iconv_close);
  std::array<char, 65536> piece;
  std::string input(bytes);  // iconv takes no const
  char* from = input.data();
  size_t left = input.size();
  bad = std::string_view::npos;
  for (bool flushed = false; !flushed;) {
    flushed = left == 0;  // some encodings hold a character back until the end
    char* to = piece.data();
    size_t room = piece.size();
    const size_t result = iconv(converter.get(), flushed ? nullptr : &from, &left, &to, &room);
    text.append(piece.data(), piece.size() - room);
    if (result != static_cast<size_t>(-1)) continue;
    if (errno == E2BIG) {
      flushed = false;
      continue;
    }
    bad = input.size() - left;
    return true;
  }
  return true;
}

/// The share of control characters that texts do not have.
bool looks_binary(std::string_view text) {
  constexpr std::string_view kOfTexts = "\t\n\v\f\r\b\x1b";
  const auto controls = static_cast<size_t>(std::ranges::count_if(text, [&](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 || byte == 0x7F) && kOfTexts.find(c) == std::string_view::npos;
  }));
  return controls * 50 > text.size();
}

/// UTF-16 that has no byte order mark, of a script that has its blanks, digits or letters in ASCII: these
/// have zeros, all of them first or all of them second in their pair. "" for anything else.
std::string utf16_without_mark(std::string_view bytes) {
  bytes = bytes.substr(0, kLookedAt);
  if (bytes.size() < 8 || bytes.size() % 2 != 0) return "";
  std::array<size_t, 2> zeros = {};
  for (size_t i = 0; i < bytes.size(); ++i) zeros[i % 2] += bytes[i] == '\0' ? 1 : 0;
  if ((zeros[0] == 0) == (zeros[1] == 0) || (zeros[0] + zeros[1]) * 16 < bytes.size()) return "";
  const std::string encoding = zeros[0] == 0 ? "UTF-16LE" : "UTF-16BE";
  std::string text;
  size_t bad = 0;
  // The last unit may be half of a character if there is more.
  if (!convert(bytes, encoding, text, bad) || bad < bytes.size() - 2 || looks_binary(text)) return "";
  return encoding;
}

std::string guessed_encoding(std::string_view bytes) {
  const std::unique_ptr<uchardet, decltype(&uchardet_delete)> detector(uchardet_new(), uchardet_delete);
  // From the first byte that says something; ASCII before it would be the guess of a long beginning.
  const auto first = std::ranges::find_if(bytes, [](char c) { return static_cast<signed char>(c) < 0; });
  const auto before = static_cast<size_t>(first - bytes.begin());
  bytes.remove_prefix(before > 256 ? before - 256 : 0);
  uchardet_handle_data(detector.get(), bytes.data(), std::min(bytes.size(), kLookedAt));
  uchardet_data_end(detector.get());
  return uchardet_get_charset(detector.get());
}

std::string known_encoding(std::string_view bytes, const std::string& path) {
  if (bytes.starts_with(std::string_view("\xFF\xFE\0\0", 4)) ||
      bytes.starts_with(std::string_view("\0\0\xFE\xFF", 4)))
    return "UTF-32";
  if (bytes.starts_with("\xFF\xFE") || bytes.starts_with("\xFE\xFF")) return "UTF-16";
  const size_t zero = bytes.find('\0');
  if (zero == std::string_view::npos && text::valid_utf8_prefix(bytes) == bytes.size()) return "";
  if (zero != std::string_view::npos) {
    const std::string utf16 = utf16_without_mark(bytes);
    if (utf16.empty()) fail(path, ": expected a text, found a binary file (byte ", zero, " is 0)");
    return utf16;
  }
  if (looks_binary(bytes)) fail(path, ": expected a text, found a binary file (it has many control codes)");
  const std::string guess = guessed_encoding(bytes);
  if (guess.empty()) {
    fail(path, ": byte ", text::valid_utf8_prefix(bytes),
         " is not UTF-8, and it looks like no other encoding", kHelp);
  }
  return guess;
}

}  // namespace

std::string to_utf8(std::string_view bytes, const std::string& encoding, const std::string& path) {
  const std::string from = encoding.empty() ? known_encoding(bytes, path) : encoding;
  std::string converted;
  if (from.empty()) {
    converted = bytes;
  } else {
    size_t bad = 0;
    const std::string name = lower_case(from);
    // iconv lets surrogates pass.
    const bool is_utf8 = name == "utf-8" || name == "utf8";
    if (is_utf8) {
      const size_t valid = text::valid_utf8_prefix(bytes);
      bad = valid == bytes.size() ? std::string_view::npos : valid;
      converted = bytes;
    } else if (!convert(bytes, from, converted, bad)) {
      fail(path, ": encoding: expected one that iconv knows (iconv -l lists them), found \"", from, '"',
           encoding.empty() ? kHelp : "");
    }
    if (bad != std::string_view::npos) {
      fail(path, ": byte ", bad, " is not ", from,
           encoding.empty() ? cat(", which it looks like", kHelp) : "; another --encoding may be right");
    }
  }
  if (converted.starts_with("\xEF\xBB\xBF")) converted.erase(0, 3);
  if (const size_t zero = converted.find('\0'); zero != std::string::npos)
    fail(path, ": expected a text, found a binary file (character ", zero, " is 0)");
  return converted;
}

}  // namespace rotor::runtime::rag
