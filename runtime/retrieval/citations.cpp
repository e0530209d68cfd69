#include "runtime/retrieval/citations.h"

#include <algorithm>
#include <charconv>

namespace rotor::runtime::retrieval {
namespace {

constexpr size_t kLongestList = 200;  // bytes in brackets

/// The numbers of "1, 3"; none if it is no such list.
std::vector<int64_t> numbers(std::string_view list) {
  std::vector<int64_t> found;
  const auto skip_blanks = [&] {
    while (list.starts_with(' ')) list.remove_prefix(1);
  };
  for (;;) {
    skip_blanks();
    int64_t number = 0;
    const auto [end, error] = std::from_chars(list.data(), list.data() + list.size(), number);
    if (error != std::errc() || !(list.front() >= '0' && list.front() <= '9')) return {};
    list.remove_prefix(static_cast<size_t>(end - list.data()));
    found.push_back(number);
    skip_blanks();
    if (list.empty()) return found;
    if (list.front() != ',' && list.front() != ';') return {};
    list.remove_prefix(1);
  }
}

}  // namespace

std::vector<int64_t> cited_sources(std::string_view answer, int64_t num_sources) {
  std::vector<int64_t> cited;
  for (size_t open = answer.find('['); open != std::string_view::npos; open = answer.find('[', open + 1)) {
    const std::string_view rest = answer.substr(open + 1, kLongestList);
    const size_t close = rest.find_first_of("[]");
    if (close == std::string_view::npos || rest[close] != ']') continue;
    for (const int64_t number : numbers(rest.substr(0, close))) {
      const bool exists = number >= 1 && number <= num_sources;
      if (exists && std::ranges::find(cited, number) == cited.end()) cited.push_back(number);
    }
  }
  return cited;
}

}  // namespace rotor::runtime::retrieval
