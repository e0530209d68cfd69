// Keys that clients show as "Authorization: Bearer KEY". Only their SHA-256 is kept, and all of them are
// compared in constant time, so that neither a core dump nor the time of an answer tells one.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace rotor::runtime::server {

class ApiKeys {
 public:
  /// Throws Error if the key is empty or is not visible ASCII, which a header could not carry; the message
  /// says `source` and not the key.
  void add(std::string_view key, const std::string& source);
  /// Reads a key a line; empty lines and lines that begin with # are none. Throws Error if the file cannot be
  /// read, holds no key, or can be read by others than its owner and group.
  void add_file(const std::string& path);

  bool empty() const { return hashes_.empty(); }
  /// Whether `authorization`, a header's value, holds one of the keys.
  bool allow(std::string_view authorization) const;

 private:
  using Hash = std::array<unsigned char, 32>;
  static Hash hash_of(std::string_view key);

  std::vector<Hash> hashes_;
};

}  // namespace rotor::runtime::server
