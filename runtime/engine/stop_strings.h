// Ends a stream of text at one of some strings, wherever the pieces of the stream begin and end. Text that
// may be the beginning of such a string is held back until that is decided.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rotor::runtime {

class StopStrings {
 public:
  /// Throws Error if one is empty or no valid UTF-8.
  explicit StopStrings(std::vector<std::string> strings);

  /// The text that can be shown now that `text` came. Whole characters in, whole characters out. Of several
  /// strings the one that is complete first ends the stream, as if the text came byte by byte; it is not part
  /// of the result.
  std::string push(std::string_view text);
  /// Whether one was found: then nothing more comes.
  bool found() const { return found_; }
  /// What was held back, when the stream ended without one.
  std::string finish();

 private:
  size_t held_bytes() const;

  std::vector<std::string> strings_;
  std::string pending_;
  bool found_ = false;
};

}  // namespace rotor::runtime
