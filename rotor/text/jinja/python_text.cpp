// Unicode's tables are utf8proc's.
#include "rotor/text/jinja/python_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "rotor/core/error.h"
#include "rotor/text/jinja/value.h"

namespace rotor::text::jinja {
namespace {

utf8proc_category_t category(uint32_t character) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(character));
}

/// `text` with each character as `change` gives it.
template <class Change>
std::string map_characters(std::string_view text, Change change) {
  std::string result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size();) append_character(result, change(next_character(text, i)));
  return result;
}

uint32_t upper(uint32_t character) {
  return static_cast<uint32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(character)));
}
uint32_t lower(uint32_t character) {
  return static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(character)));
}
uint32_t title(uint32_t character) {
  return static_cast<uint32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(character)));
}

template <class Predicate>
std::string_view strip_if(std::string_view text, Side side, Predicate predicate) {
  size_t begin = 0;
  while (side != Side::right && begin < text.size()) {
    size_t next = begin;
    if (!predicate(next_character(text, next))) break;
    begin = next;
  }
  size_t end = text.size();
  while (side != Side::left && end > begin) {
    size_t last = end - 1;
    while ((static_cast<uint8_t>(text[last]) & 0xC0) == 0x80) --last;
    size_t next = last;
    if (!predicate(next_character(text, next))) break;
    end = last;
  }
  return text.substr(begin, end - begin);
}

bool is_line_end(uint32_t character) {
  return (character >= '\n' && character <= '\r') || (character >= 0x1C && character <= 0x1E) ||
         character == 0x85 || character == 0x2028 || character == 0x2029;
}

}  // namespace

bool is_valid_utf8(std::string_view text) {
  while (!text.empty()) {
    utf8proc_int32_t character = 0;
    const auto length = utf8proc_iterate(reinterpret_cast<const uint8_t*>(text.data()),
                                         static_cast<utf8proc_ssize_t>(text.size()), &character);
    if (length <= 0) return false;
    text.remove_prefix(static_cast<size_t>(length));
  }
  return true;
}

uint32_t next_character(std::string_view text, size_t& offset) {
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(text[offset + i])); };
  const uint32_t lead = byte(0);
  uint32_t character = lead;
  size_t length = 1;
  if (lead >= 0xF0) {
    character = (lead & 7) << 18 | (byte(1) & 63) << 12 | (byte(2) & 63) << 6 | (byte(3) & 63);
    length = 4;
  } else if (lead >= 0xE0) {
    character = (lead & 15) << 12 | (byte(1) & 63) << 6 | (byte(2) & 63);
    length = 3;
  } else if (lead >= 0x80) {
    character = (lead & 31) << 6 | (byte(1) & 63);
    length = 2;
  }
  offset += length;
  return character;
}

void append_character(std::string& text, uint32_t character) {
  std::array<uint8_t, 4> bytes{};
  const auto length = utf8proc_encode_char(static_cast<utf8proc_int32_t>(character), bytes.data());
  text.append(reinterpret_cast<const char*>(bytes.data()), static_cast<size_t>(length));
}

size_t count_characters(std::string_view text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char byte) { return (static_cast<uint8_t>(byte) & 0xC0) != 0x80; }));
}

std::vector<std::string_view> split_characters(std::string_view text) {
  std::vector<std::string_view> characters;
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    next_character(text, i);
    characters.push_back(text.substr(begin, i - begin));
  }
  return characters;
}

std::string_view substring(std::string_view text, int64_t begin, int64_t end) {
  size_t offset = 0;
  int64_t position = 0;
  for (; position < begin && offset < text.size(); ++position) next_character(text, offset);
  const size_t first = offset;
  for (; position < end && offset < text.size(); ++position) next_character(text, offset);
  return text.substr(first, offset - first);
}

bool is_space(uint32_t c) {
  return (c >= '\t' && c <= '\r') || (c >= 0x1C && c <= ' ') || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool is_letter(uint32_t character) {
  const auto kind = category(character);
  return kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_LO;
}
bool is_digit(uint32_t character) {
  return category(character) == UTF8PROC_CATEGORY_ND;
}
bool is_upper(uint32_t character) {
  return category(character) == UTF8PROC_CATEGORY_LU;
}
bool is_lower(uint32_t character) {
  return category(character) == UTF8PROC_CATEGORY_LL;
}
bool is_printable(uint32_t character) {
  const auto kind = category(character);
  return character == ' ' || (kind != UTF8PROC_CATEGORY_CN && kind < UTF8PROC_CATEGORY_ZS);
}

std::string_view strip(std::string_view text, Side side) {
  return strip_if(text, side, is_space);
}

std::string_view strip(std::string_view text, Side side, std::string_view characters) {
  std::vector<uint32_t> set;
  for (size_t i = 0; i < characters.size();) set.push_back(next_character(characters, i));
  std::ranges::sort(set);
  return strip_if(text, side, [&](uint32_t c) { return std::ranges::binary_search(set, c); });
}

std::string to_upper(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const uint32_t character = next_character(text, i);
    if (character == 0xDF) {
      result += "SS";
    } else {
      append_character(result, upper(character));
    }
  }
  return result;
}
std::string to_lower(std::string_view text) {
  return map_characters(text, lower);
}

std::string capitalize(std::string_view text) {
  bool is_first = true;
  return map_characters(text,
                        [&](uint32_t c) { return std::exchange(is_first, false) ? title(c) : lower(c); });
}

std::string to_title(std::string_view text) {
  bool follows_letter = false;
  return map_characters(
      text, [&](uint32_t c) { return std::exchange(follows_letter, is_letter(c)) ? lower(c) : title(c); });
}

std::vector<std::string> split(std::string_view text, int64_t limit) {
  std::vector<std::string> parts;
  text = strip(text, Side::left);
  while (!text.empty()) {
    if (limit >= 0 && static_cast<int64_t>(parts.size()) == limit) {
      parts.emplace_back(text);
      break;
    }
    size_t end = 0;
    for (size_t next = 0; end < text.size() && !is_space(next_character(text, next));) end = next;
    parts.emplace_back(text.substr(0, end));
    text = strip(text.substr(end), Side::left);
  }
  return parts;
}

std::vector<std::string> split(std::string_view text, std::string_view separator, int64_t limit) {
  std::vector<std::string> parts;
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    const size_t end = text.find(separator);
    if (end == std::string_view::npos) break;
    if (parts.size() > kMaxItems) fail("a text is split into more than ", kMaxItems, " parts");
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(end + separator.size());
  }
  parts.emplace_back(text);
  return parts;
}

std::vector<std::string> split_right(std::string_view text, int64_t limit) {
  std::vector<std::string> parts;
  text = strip(text, Side::right);
  while (!text.empty()) {
    if (limit >= 0 && static_cast<int64_t>(parts.size()) == limit) {
      parts.emplace_back(text);
      break;
    }
    const std::string_view rest = strip_if(text, Side::right, [](uint32_t c) { return !is_space(c); });
    parts.emplace_back(text.substr(rest.size()));
    text = strip(rest, Side::right);
  }
  std::ranges::reverse(parts);
  return parts;
}

std::vector<std::string> split_right(std::string_view text, std::string_view separator, int64_t limit) {
  std::vector<std::string> parts;
  while (limit < 0 || static_cast<int64_t>(parts.size()) < limit) {
    const size_t begin = text.rfind(separator);
    if (begin == std::string_view::npos) break;
    if (parts.size() > kMaxItems) fail("a text is split into more than ", kMaxItems, " parts");
    parts.emplace_back(text.substr(begin + separator.size()));
    text = text.substr(0, begin);
  }
  parts.emplace_back(text);
  std::ranges::reverse(parts);
  return parts;
}

std::vector<std::string> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string> lines;
  size_t begin = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t end = i;
    const uint32_t character = next_character(text, i);
    if (!is_line_end(character)) continue;
    if (character == '\r' && i < text.size() && text[i] == '\n') ++i;
    if (lines.size() > kMaxItems) fail("a text is split into more than ", kMaxItems, " lines");
    lines.emplace_back(text.substr(begin, (keep_ends ? i : end) - begin));
    begin = i;
  }
  if (begin < text.size()) lines.emplace_back(text.substr(begin));
  return lines;
}

std::string replace(std::string_view text, std::string_view from, std::string_view to, int64_t limit) {
  std::string result;
  const auto add = [&](std::string_view part) {
    if (result.size() + part.size() > kMaxTextBytes)
      fail("a text gets longer than ", kMaxTextBytes, " bytes");
    result += part;
  };
  // An empty text stands before each character, and at the end.
  size_t offset = 0;
  for (int64_t count = 0; limit < 0 || count < limit; ++count) {
    const size_t found = text.find(from, offset + (from.empty() && count > 0 ? 1 : 0));
    if (found == std::string_view::npos) break;
    size_t place = found;
    while (from.empty() && place < text.size() && (static_cast<uint8_t>(text[place]) & 0xC0) == 0x80) ++place;
    add(text.substr(offset, place - offset));
    add(to);
    offset = place + from.size();
  }
  add(text.substr(std::min(offset, text.size())));
  return result;
}

std::string repeat(std::string_view text, int64_t count) {
  std::string result;
  if (count <= 0 || text.empty()) return result;
  if (static_cast<uint64_t>(count) > kMaxTextBytes / text.size())
    fail("a text gets longer than ", kMaxTextBytes, " bytes");
  result.reserve(text.size() * static_cast<size_t>(count));
  for (; count > 0; --count) result += text;
  return result;
}

std::string quote(std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char mark = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string result(1, mark);
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const uint32_t c = next_character(text, i);
    std::array<char, 16> code{};
    if (c == static_cast<uint32_t>(mark) || c == '\\') {
      result += {'\\', static_cast<char>(c)};
    } else if (c == '\n' || c == '\r' || c == '\t') {
      result += {'\\', c == '\n' ? 'n' : c == '\r' ? 'r' : 't'};
    } else if (is_printable(c)) {
      result += text.substr(begin, i - begin);
    } else {
      std::snprintf(code.data(), code.size(), c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
      result += code.data();
    }
  }
  return result + mark;
}

std::string escape_html(std::string_view text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&#34;";
        break;
      case '\'':
        result += "&#39;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

}  // namespace rotor::text::jinja
