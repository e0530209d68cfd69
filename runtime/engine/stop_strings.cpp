// Plain searches: the text held back is shorter than the longest string.
#include "runtime/engine/stop_strings.h"

#include <algorithm>
#include <utility>

#include "rotor/core/error.h"
#include "rotor/text/stream_decoder.h"

namespace rotor::runtime {

StopStrings::StopStrings(std::vector<std::string> strings) : strings_(std::move(strings)) {
  for (const std::string& string : strings_) {
    if (string.empty()) fail("stop string: expected at least one character, found none");
    if (text::valid_utf8_prefix(string) != string.size())
      fail("stop string: expected UTF-8, found other bytes");
  }
}

/// Length of the longest end of pending_ that is the beginning of a string.
size_t StopStrings::held_bytes() const {
  size_t held = 0;
  for (const std::string& string : strings_) {
    for (size_t length = std::min(string.size() - 1, pending_.size()); length > held; --length) {
      if (pending_.ends_with(std::string_view(string).substr(0, length))) held = length;
    }
  }
  return held;
}

std::string StopStrings::push(std::string_view text) {
  if (found_) return "";
  pending_ += text;
  size_t first_begin = std::string::npos;
  size_t first_end = std::string::npos;
  for (const std::string& string : strings_) {
    const size_t begin = pending_.find(string);
    if (begin == std::string::npos) continue;
    if (std::pair(begin + string.size(), begin) < std::pair(first_end, first_begin)) {
      first_begin = begin;
      first_end = begin + string.size();
    }
  }
  found_ = first_end != std::string::npos;
  const size_t shown = found_ ? first_begin : pending_.size() - held_bytes();
  std::string out = pending_.substr(0, shown);
  pending_.erase(0, found_ ? std::string::npos : shown);
  return out;
}

std::string StopStrings::finish() {
  return std::exchange(pending_, {});
}

}  // namespace rotor::runtime
