// Keys and their comparison.
#include "runtime/server/http/api_keys.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sstream>

#include "rotor/core/error.h"
#include "runtime/server/http/http_head.h"

namespace rotor::runtime::server {
namespace {

/// Reads a small file whole and looks at its rights through the same descriptor.
std::string read_secret_file(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status = {};
  if (file < 0 || fstat(file, &status) != 0) {
    const int error = errno;
    if (file >= 0) close(file);
    fail(path, ": ", std::strerror(error));
  }
  std::string text;
  char bytes[4096];
  ssize_t count = 0;
  while ((count = read(file, bytes, sizeof(bytes))) > 0) text.append(bytes, static_cast<size_t>(count));
  const int error = errno;
  close(file);
  if (count < 0) fail(path, ": ", std::strerror(error));
  if ((status.st_mode & S_IRWXO) != 0) {
    fail(path, ": a file of keys that everybody may read; expected chmod o= ", path);
  }
  return text;
}

}  // namespace

void ApiKeys::add(std::string_view key, const std::string& source) {
  const bool visible = std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c <= '~'; });
  if (key.empty() || !visible)
    fail(source, ": expected a key of visible ASCII characters, found another text");
  hashes_.push_back(hash_of(key));
}

void ApiKeys::add_file(const std::string& path) {
  std::istringstream lines(read_secret_file(path));
  const size_t before = hashes_.size();
  int64_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (!line.empty() && line[0] != '#') add(line, cat(path, ", line ", number));
  }
  if (hashes_.size() == before) fail(path, ": expected a key a line, found none");
}

bool ApiKeys::allow(std::string_view authorization) const {
  constexpr std::string_view kScheme = "bearer ";
  if (lower_case(authorization.substr(0, kScheme.size())) != kScheme) return false;
  authorization.remove_prefix(kScheme.size());
  while (authorization.starts_with(' ')) authorization.remove_prefix(1);
  const Hash shown = hash_of(authorization);
  bool allowed = false;
  for (const Hash& known : hashes_) {  // all of them, whichever fits
    allowed |= CRYPTO_memcmp(known.data(), shown.data(), shown.size()) == 0;
  }
  return allowed;
}

ApiKeys::Hash ApiKeys::hash_of(std::string_view key) {
  Hash hash = {};
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), hash.data());
  return hash;
}

}  // namespace rotor::runtime::server
