// Small tiktoken files: what tests and the fuzzers' corpus begin with. Needs nothing but the language, as the
// fuzzers build no test libraries.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rotor::test {

inline std::string base64(std::string_view bytes) {
  static constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t k = 0; k < 3; ++k)
      bits = bits << 8 | (i + k < bytes.size() ? static_cast<uint8_t>(bytes[i + k]) : 0U);
    for (size_t k = 0; k < 4; ++k) text += i + k > bytes.size() ? '=' : kAlphabet[bits >> (18 - 6 * k) & 63];
  }
  return text;
}

/// The ranks of the 256 bytes, ids 0 to 255, a line each.
inline std::string byte_ranks() {
  std::string ranks;
  for (int byte = 0; byte < 256; ++byte)
    ranks += base64(std::string(1, static_cast<char>(byte))) + " " + std::to_string(byte) + "\n";
  return ranks;
}

}  // namespace rotor::test
