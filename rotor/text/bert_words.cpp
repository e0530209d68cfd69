// Works on code points. The order of steps is the reference's: clean, ideographs, accents, case, words.
#include "rotor/text/bert_words.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "rotor/core/error.h"
#include "rotor/text/stream_decoder.h"

namespace rotor::text {
namespace {

using CodePoint = utf8proc_int32_t;
using Range = std::pair<CodePoint, CodePoint>;  // first, last

constexpr CodePoint kReplacement = 0xFFFD;

/// Marks, punctuation and format characters of Unicode 9 to 15, and those that changed into one: found by
/// asking the reference for every code point.
constexpr auto kAfterUnicode8 = std::to_array<Range>(
    {{0x61D, 0x61D},     {0x7FD, 0x7FD},     {0x890, 0x891},     {0x898, 0x89F},     {0x8CA, 0x8E2},
     {0x9FD, 0x9FE},     {0xA76, 0xA76},     {0xAFA, 0xAFF},     {0xB55, 0xB55},     {0xC04, 0xC04},
     {0xC3C, 0xC3C},     {0xC77, 0xC77},     {0xC84, 0xC84},     {0xD00, 0xD00},     {0xD3B, 0xD3C},
     {0xD81, 0xD81},     {0xEBA, 0xEBA},     {0xECE, 0xECE},     {0x180F, 0x180F},   {0x1885, 0x1886},
     {0x1ABF, 0x1ACE},   {0x1B7D, 0x1B7E},   {0x1DF6, 0x1DFB},   {0x2E43, 0x2E4F},   {0x2E52, 0x2E5D},
     {0xA82C, 0xA82C},   {0xA8C5, 0xA8C5},   {0xA8FF, 0xA8FF},   {0xA9BD, 0xA9BD},   {0x10D24, 0x10D27},
     {0x10EAB, 0x10EAD}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50}, {0x10F55, 0x10F59}, {0x10F82, 0x10F89},
     {0x11070, 0x11070}, {0x11073, 0x11074}, {0x110C2, 0x110C2}, {0x110CD, 0x110CD}, {0x111C9, 0x111C9},
     {0x111CF, 0x111CF}, {0x1123E, 0x1123E}, {0x11241, 0x11241}, {0x1133B, 0x1133B}, {0x11438, 0x1143F},
     {0x11442, 0x11444}, {0x11446, 0x11446}, {0x1144B, 0x1144F}, {0x1145A, 0x1145B}, {0x1145D, 0x1145E},
     {0x11660, 0x1166C}, {0x116B9, 0x116B9}, {0x1182F, 0x11837}, {0x11839, 0x1183B}, {0x11938, 0x11938},
     {0x1193B, 0x1193C}, {0x1193E, 0x1193E}, {0x11943, 0x11946}, {0x119D4, 0x119D7}, {0x119DA, 0x119DB},
     {0x119E0, 0x119E0}, {0x119E2, 0x119E2}, {0x11A01, 0x11A0A}, {0x11A33, 0x11A38}, {0x11A3B, 0x11A47},
     {0x11A51, 0x11A56}, {0x11A59, 0x11A5B}, {0x11A8A, 0x11A96}, {0x11A98, 0x11A9C}, {0x11A9E, 0x11AA2},
     {0x11B00, 0x11B09}, {0x11C30, 0x11C36}, {0x11C38, 0x11C3D}, {0x11C3F, 0x11C3F}, {0x11C41, 0x11C45},
     {0x11C70, 0x11C71}, {0x11C92, 0x11CA7}, {0x11CAA, 0x11CB0}, {0x11CB2, 0x11CB3}, {0x11CB5, 0x11CB6},
     {0x11D31, 0x11D36}, {0x11D3A, 0x11D3A}, {0x11D3C, 0x11D3D}, {0x11D3F, 0x11D45}, {0x11D47, 0x11D47},
     {0x11D90, 0x11D91}, {0x11D95, 0x11D95}, {0x11D97, 0x11D97}, {0x11EF3, 0x11EF4}, {0x11EF7, 0x11EF8},
     {0x11F00, 0x11F01}, {0x11F36, 0x11F3A}, {0x11F40, 0x11F40}, {0x11F42, 0x11F4F}, {0x11FFF, 0x11FFF},
     {0x12FF1, 0x12FF2}, {0x13430, 0x13440}, {0x13447, 0x13455}, {0x16E97, 0x16E9A}, {0x16F4F, 0x16F4F},
     {0x16FE2, 0x16FE2}, {0x16FE4, 0x16FE4}, {0x1CF00, 0x1CF2D}, {0x1CF30, 0x1CF46}, {0x1E000, 0x1E006},
     {0x1E008, 0x1E018}, {0x1E01B, 0x1E021}, {0x1E023, 0x1E024}, {0x1E026, 0x1E02A}, {0x1E08F, 0x1E08F},
     {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF}, {0x1E944, 0x1E94A},
     {0x1E95E, 0x1E95F}});

bool is_in(std::span<const Range> ranges, CodePoint point) {
  const auto next = std::ranges::upper_bound(ranges, point, {}, &Range::first);
  return next != ranges.begin() && point <= std::prev(next)->second;
}

/// utf8proc's category, as the reference's tables have it.
int category(CodePoint point) {
  constexpr CodePoint kHanunooPamudpod = 0x1734;  // a mark without room until Unicode 14
  if (point == kHanunooPamudpod) return UTF8PROC_CATEGORY_MN;
  constexpr CodePoint kFirstNew = kAfterUnicode8.front().first;
  if (point >= kFirstNew && is_in(kAfterUnicode8, point)) return UTF8PROC_CATEGORY_LO;
  return utf8proc_category(point);
}

bool is_white_space(CodePoint c) {
  return (c >= 0x9 && c <= 0xD) || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool is_dropped(CodePoint c) {
  if (c == '\t' || c == '\n' || c == '\r') return false;
  if (c < 0x80) return c < 0x20 || c == 0x7F;
  if (c == kReplacement) return true;
  const int kind = category(c);
  return kind == UTF8PROC_CATEGORY_CC || kind == UTF8PROC_CATEGORY_CF || kind == UTF8PROC_CATEGORY_CO;
}

/// The blocks of ideographs; 2B820 to 2B91F are left out as in the reference.
bool is_ideograph(CodePoint c) {
  static constexpr auto kBlocks = std::to_array<Range>({{0x3400, 0x4DBF},
                                                        {0x4E00, 0x9FFF},
                                                        {0xF900, 0xFAFF},
                                                        {0x20000, 0x2A6DF},
                                                        {0x2A700, 0x2B81F},
                                                        {0x2B920, 0x2CEAF},
                                                        {0x2F800, 0x2FA1F}});
  return c >= kBlocks.front().first && is_in(kBlocks, c);
}

bool is_punctuation(CodePoint c) {
  if (c < 0x80) {
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
  }
  if (c == 0x166D || c == 0x111C9) return true;  // was, in Unicode 8
  const int kind = category(c);
  return kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO;
}

std::vector<CodePoint> decode(std::string_view text) {
  std::vector<CodePoint> points;
  points.reserve(text.size());
  while (!text.empty()) {
    size_t valid = valid_utf8_prefix(text);
    for (std::string_view rest = text.substr(0, valid); !rest.empty();) {
      CodePoint point = 0;
      const auto length = utf8proc_iterate(reinterpret_cast<const uint8_t*>(rest.data()),
                                           static_cast<utf8proc_ssize_t>(rest.size()), &point);
      if (length <= 0) fail("text: cannot be decoded: ", utf8proc_errmsg(length));
      points.push_back(point);
      rest.remove_prefix(static_cast<size_t>(length));
    }
    text.remove_prefix(valid);
    if (text.empty()) break;
    points.push_back(kReplacement);
    text.remove_prefix(invalid_utf8_length(text));
  }
  return points;
}

void clean(std::vector<CodePoint>& points) {
  std::erase_if(points, is_dropped);
  std::ranges::replace_if(points, is_white_space, ' ');
}

void isolate_ideographs(std::vector<CodePoint>& points) {
  if (std::ranges::none_of(points, is_ideograph)) return;
  std::vector<CodePoint> spaced;
  spaced.reserve(points.size() + points.size() / 2);
  for (const CodePoint c : points) {
    if (is_ideograph(c)) {
      spaced.insert(spaced.end(), {' ', c, ' '});
    } else {
      spaced.push_back(c);
    }
  }
  points = std::move(spaced);
}

/// The canonical combining class: 0 for all but marks.
int mark_class(CodePoint c) {
  if (c < 0x300 || is_in(kAfterUnicode8, c)) return 0;
  return utf8proc_get_property(c)->combining_class;
}

/// Appends the canonical decomposition of `c`.
void decompose(CodePoint c, std::vector<CodePoint>& points) {
  constexpr size_t kLongest = 4;  // UAX 15, maximum expansion factors
  std::array<CodePoint, kLongest> parts;
  int boundary = 0;
  const auto count = utf8proc_decompose_char(
      c, parts.data(), kLongest, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE),
      &boundary);
  if (count < 0 || count > static_cast<utf8proc_ssize_t>(kLongest))
    fail("text: cannot be decomposed: ", utf8proc_errmsg(count));
  points.insert(points.end(), parts.begin(), parts.begin() + count);
}

/// Unicode's normalization form D, less the marks that take no room.
void strip_accents(std::vector<CodePoint>& points) {
  if (std::ranges::all_of(points, [](CodePoint c) { return c < 0x80; })) return;
  std::vector<CodePoint> parts;
  parts.reserve(points.size());
  for (const CodePoint c : points) {
    if (c < 0x80 || is_in(kAfterUnicode8, c)) {
      parts.push_back(c);
    } else {
      decompose(c, parts);
    }
  }
  const auto is_mark = [](CodePoint c) { return mark_class(c) != 0; };
  for (auto begin = std::ranges::find_if(parts, is_mark); begin != parts.end();) {
    const auto end = std::find_if_not(begin, parts.end(), is_mark);
    std::ranges::stable_sort(begin, end, {}, mark_class);
    begin = std::find_if(end, parts.end(), is_mark);
  }
  std::erase_if(parts, [](CodePoint c) { return c >= 0x80 && category(c) == UTF8PROC_CATEGORY_MN; });
  points = std::move(parts);
}

void lowercase(std::vector<CodePoint>& points) {
  constexpr CodePoint kDottedI = 0x130;  // the one letter that becomes two
  constexpr CodePoint kDotAbove = 0x307;
  std::vector<CodePoint> lower;
  lower.reserve(points.size());
  for (const CodePoint c : points) {
    if (c < 0x80) {
      lower.push_back(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    } else if (c == kDottedI) {
      lower.insert(lower.end(), {'i', kDotAbove});
    } else {
      lower.push_back(utf8proc_tolower(c));
    }
  }
  points = std::move(lower);
}

}  // namespace

void for_each_bert_word(std::string_view text, const WordPieceSettings& settings,
                        const std::function<void(std::string_view word, size_t characters)>& on_word) {
  std::vector<CodePoint> points = decode(text);
  if (settings.clean_text) clean(points);
  if (settings.handle_chinese_chars) isolate_ideographs(points);
  if (settings.strip_accents) strip_accents(points);
  if (settings.lowercase) lowercase(points);
  std::string word;
  size_t characters = 0;
  const auto end_word = [&] {
    if (characters != 0) on_word(word, characters);
    word.clear();
    characters = 0;
  };
  for (const CodePoint c : points) {
    const bool alone = is_punctuation(c);
    if (alone || is_white_space(c)) end_word();
    if (!alone && is_white_space(c)) continue;
    std::array<uint8_t, 4> bytes;
    const auto length = utf8proc_encode_char(c, bytes.data());
    word.append(reinterpret_cast<const char*>(bytes.data()), static_cast<size_t>(length));
    ++characters;
    if (alone) end_word();
  }
  end_word();
}

}  // namespace rotor::text
