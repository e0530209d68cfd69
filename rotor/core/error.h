// The one error type. Bad input throws it with a message that names file, field, expected and found;
// main() prints that line and exits 1. Broken invariants are not errors: they abort.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace rotor {

/// A problem that its reader can mend: bad input, a missing file, a full disk.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The arguments, written one after another.
template <class... Args>
std::string cat(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return out.str();
}

/// Throws Error with the arguments written one after another.
template <class... Args>
[[noreturn]] void fail(const Args&... args) {
  throw Error(cat(args...));
}

}  // namespace rotor
