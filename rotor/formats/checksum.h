// Checksums of file contents: XXH3, 64 bits, seed 0, written as 16 lower-case hexadecimal digits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace rotor {

std::string checksum(std::span<const uint8_t> bytes);

/// What a checksum field holds while the checksum over it is computed.
inline constexpr const char* kBlankChecksum = "0000000000000000";

}  // namespace rotor
