// Reading of token ids.
#include "rotor/text/token_ids.h"

#include <algorithm>
#include <charconv>

#include "rotor/core/error.h"

namespace rotor::text {

std::vector<TokenId> parse_token_ids(const std::string& flag, const std::string& text, int64_t vocab_size) {
  constexpr const char* kSeparators = " ,\t\r\n";
  std::vector<TokenId> ids;
  for (size_t at = text.find_first_not_of(kSeparators); at != std::string::npos;) {
    const size_t end = std::min(text.find_first_of(kSeparators, at), text.size());
    TokenId id = 0;
    const auto [rest, error] = std::from_chars(text.data() + at, text.data() + end, id);
    if (error != std::errc() || rest != text.data() + end || id < 0 || id >= vocab_size) {
      fail(flag, ": expected token ids from 0 to ", vocab_size - 1, ", found \"", text.substr(at, end - at),
           "\"");
    }
    ids.push_back(id);
    at = text.find_first_not_of(kSeparators, end);
  }
  if (ids.empty()) fail(flag, ": expected at least one token id, found none");
  return ids;
}

}  // namespace rotor::text
