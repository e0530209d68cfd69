// XXH3 from the xxHash library.
#include "rotor/formats/checksum.h"

#include <xxhash.h>

#include <array>
#include <cstdio>

namespace rotor {

std::string checksum(std::span<const uint8_t> bytes) {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx",
                static_cast<unsigned long long>(XXH3_64bits(bytes.data(), bytes.size())));
  return text.data();
}

}  // namespace rotor
