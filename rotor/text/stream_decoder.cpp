// UTF-8 by the table of RFC 3629, section 4.
#include "rotor/text/stream_decoder.h"

#include <algorithm>
#include <cstdint>

namespace rotor::text {
namespace {

constexpr const char* kReplacement = "\xEF\xBF\xBD";  // U+FFFD

enum class Sequence { complete, incomplete, invalid };

/// The UTF-8 sequence at the start of `text`, which is not empty. `length`: its bytes (1 if invalid).
Sequence read_sequence(std::string_view text, size_t& length) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  length = 1;
  if (lead < 0x80) return Sequence::complete;
  if (lead < 0xC2 || lead > 0xF4) return Sequence::invalid;
  const size_t expected = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  uint8_t low = 0x80;
  uint8_t high = 0xBF;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  for (size_t i = 1; i < expected; ++i) {
    if (i == text.size()) {
      length = i;
      return Sequence::incomplete;
    }
    if (byte(i) < low || byte(i) > high) return Sequence::invalid;
    low = 0x80;
    high = 0xBF;
  }
  length = expected;
  return Sequence::complete;
}

}  // namespace

size_t valid_utf8_prefix(std::string_view text) {
  size_t position = 0;
  while (position < text.size()) {
    size_t length = 0;
    if (read_sequence(text.substr(position), length) != Sequence::complete) break;
    position += length;
  }
  return position;
}

size_t invalid_utf8_length(std::string_view text) {
  for (size_t count = std::min<size_t>(3, text.size()); count > 1; --count) {
    size_t length = 0;
    if (read_sequence(text.substr(0, count), length) == Sequence::incomplete) return count;
  }
  return 1;
}

std::string StreamDecoder::push(TokenId id) {
  pending_ += tokenizer_->token_bytes(id, first_);
  first_ = false;
  std::string out;
  std::string_view rest = pending_;
  while (!rest.empty()) {
    size_t length = 0;
    const Sequence kind = read_sequence(rest, length);
    if (kind == Sequence::incomplete) break;
    if (kind == Sequence::complete) {
      out += rest.substr(0, length);
    } else {
      out += kReplacement;
    }
    rest.remove_prefix(length);
  }
  pending_ = std::string(rest);
  return out;
}

std::string StreamDecoder::finish() {
  const bool cut = !pending_.empty();
  pending_.clear();
  return cut ? kReplacement : "";
}

}  // namespace rotor::text
