// Checksums of file contents: XXH3, 64 bits, seed 0, written as 16 lower-case hexadecimal digits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace rotor {

std::string checksum(std::span<const uint8_t> bytes);

/// The checksum of bytes that come in pieces.
class Checksum {
 public:
  Checksum();
  /// Begins anew.
  void reset();
  void add(std::span<const uint8_t> bytes);
  std::string text() const;

 private:
  struct Free {
    void operator()(void* state) const;
  };
  std::unique_ptr<void, Free> state_;
};

/// What a checksum field holds while the checksum over it is computed.
inline constexpr const char* kBlankChecksum = "0000000000000000";

}  // namespace rotor
