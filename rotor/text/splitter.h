// Cuts a text into the pieces that BPE works on, by a regular expression (PCRE2, compiled to machine code).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace rotor::text {

class Splitter {
 public:
  /// Throws Error saying where `pattern` is wrong.
  explicit Splitter(const std::string& pattern);
  ~Splitter();
  Splitter(Splitter&&) noexcept;
  Splitter& operator=(Splitter&&) noexcept;

  /// Calls `on_piece` for each match and for what lies between matches, in order: together they are `text`.
  /// Bytes that are no valid UTF-8 come as pieces of their own. Throws Error if the pattern exceeds PCRE2's
  /// limits.
  void split(std::string_view text, const std::function<void(std::string_view)>& on_piece) const;

 private:
  void split_valid(std::string_view text, const std::function<void(std::string_view)>& on_piece) const;

  struct Pattern;
  std::unique_ptr<Pattern> pattern_;
};

}  // namespace rotor::text
