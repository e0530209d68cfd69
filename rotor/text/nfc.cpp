// utf8proc decomposes and composes; ordering of the marks is done here, since the library's bubble sort takes
// the square of a run's length. Most texts need none of it: every ASCII character begins a stretch that can
// be normalized by itself, and a stretch below U+0300 is in form C.
#include "rotor/text/nfc.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <span>
#include <vector>

#include "rotor/core/error.h"
#include "rotor/text/stream_decoder.h"

namespace rotor::text {
namespace {

using CodePoint = utf8proc_int32_t;

/// The lead bytes of U+0300, the first character that form C may change or move, and of all behind it.
bool may_change(char byte) {
  return static_cast<uint8_t>(byte) >= 0xCC;
}

bool is_ascii(char byte) {
  return static_cast<uint8_t>(byte) < 0x80;
}

/// The canonical combining class: 0 for all but marks.
int mark_class(CodePoint point) {
  return utf8proc_get_property(point)->combining_class;
}

[[noreturn]] void fail_library(utf8proc_ssize_t code) {
  fail("text: cannot be normalized to NFC: ", utf8proc_errmsg(code));
}

/// The full canonical decomposition of each character of `text`, which is valid UTF-8.
void decompose(std::string_view text, std::vector<CodePoint>& points) {
  constexpr size_t kLongest = 4;  // U+1F82 and others (UAX 15, maximum expansion factors)
  points.clear();
  while (!text.empty()) {
    CodePoint point = 0;
    const auto length = utf8proc_iterate(reinterpret_cast<const uint8_t*>(text.data()),
                                         static_cast<utf8proc_ssize_t>(text.size()), &point);
    if (length < 0) fail_library(length);
    std::array<CodePoint, kLongest> parts;
    int boundary = 0;
    const auto count = utf8proc_decompose_char(
        point, parts.data(), kLongest, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE),
        &boundary);
    if (count < 0 || count > static_cast<utf8proc_ssize_t>(kLongest)) fail_library(count);
    points.insert(points.end(), parts.begin(), parts.begin() + count);
    text.remove_prefix(static_cast<size_t>(length));
  }
}

/// Sorts each run of marks by class and keeps the order of equals.
void order_marks(std::span<CodePoint> points) {
  const auto is_mark = [](CodePoint point) { return mark_class(point) != 0; };
  for (auto begin = std::ranges::find_if(points, is_mark); begin != points.end();) {
    const auto end = std::find_if_not(begin, points.end(), is_mark);
    std::ranges::stable_sort(begin, end, {}, mark_class);
    begin = std::find_if(end, points.end(), is_mark);
  }
}

/// Composes in place; gives what is left.
std::span<CodePoint> compose(std::span<CodePoint> points) {
  const auto count =
      utf8proc_normalize_utf32(points.data(), static_cast<utf8proc_ssize_t>(points.size()),
                               static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  if (count < 0) fail_library(count);
  return points.first(static_cast<size_t>(count));
}

void append_valid(std::string_view text, std::vector<CodePoint>& points, std::string& output) {
  // Behind a Hangul syllable utf8proc 2.8 takes this vowel for an empty final consonant and drops it. It
  // composes with nothing, so what stands before it and from it on is composed apart.
  constexpr CodePoint kOYae = 0x11A7;
  decompose(text, points);
  order_marks(points);
  for (auto begin = points.begin(); begin != points.end();) {
    const auto end = std::find(begin + 1, points.end(), kOYae);
    for (const CodePoint point : compose({begin, end})) {
      std::array<uint8_t, 4> bytes;
      const auto length = utf8proc_encode_char(point, bytes.data());
      output.append(reinterpret_cast<const char*>(bytes.data()), static_cast<size_t>(length));
    }
    begin = end;
  }
}

}  // namespace

std::string_view to_nfc(std::string_view text, std::string& memory) {
  auto next = std::ranges::find_if(text, may_change);
  if (next == text.end()) return text;
  memory.clear();
  std::vector<CodePoint> points;
  auto done = text.begin();
  while (next != text.end()) {
    // Back to the ASCII character with which the next one's marks may compose.
    auto begin = next;
    while (begin != done && !is_ascii(*begin)) --begin;
    const auto end = std::find_if(next, text.end(), is_ascii);
    memory.append(done, begin);
    for (std::string_view stretch(begin, end); !stretch.empty();) {
      const size_t valid = valid_utf8_prefix(stretch);
      append_valid(stretch.substr(0, valid), points, memory);
      stretch.remove_prefix(valid);
      memory += stretch.substr(0, 1);  // what is not valid
      stretch.remove_prefix(std::min<size_t>(1, stretch.size()));
    }
    done = end;
    next = std::find_if(end, text.end(), may_change);
  }
  memory.append(done, text.end());
  return memory;
}

}  // namespace rotor::text
