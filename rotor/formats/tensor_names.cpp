// Lists are cut short: a foreign file may hold thousands of names.
#include "rotor/formats/tensor_names.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "rotor/core/edit_distance.h"
#include "rotor/core/error.h"

namespace rotor {
namespace {

constexpr size_t kNamesListed = 8;
constexpr size_t kLongestCompared = 200;  // characters of a name, and
constexpr size_t kMostCompared = 2000;    // names to choose from: a hostile file must not take long

/// ' (nearest: "name")' of the candidate that could be meant, or nothing.
std::string nearest(const std::string& name, const std::vector<std::string>& candidates) {
  const std::string* best = nullptr;
  size_t least = std::min(name.size(), kLongestCompared) / 2 + 1;
  for (size_t i = 0; i < std::min(candidates.size(), kMostCompared); ++i) {
    if (std::max(name.size(), candidates[i].size()) > kLongestCompared) continue;
    const size_t distance = edit_distance(name, candidates[i]);
    if (distance >= least) continue;
    least = distance;
    best = &candidates[i];
  }
  return best == nullptr ? "" : cat(" (nearest: \"", *best, "\")");
}

std::string list(const std::vector<std::string>& names, const std::vector<std::string>& others) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kNamesListed); ++i) {
    text +=
        cat(i == 0 ? "" : ", ", '"', names[i].substr(0, kLongestCompared), '"', nearest(names[i], others));
  }
  if (names.size() > kNamesListed) text += cat(" and ", names.size() - kNamesListed, " more");
  return text;
}

}  // namespace

void check_tensor_names(const std::string& where, const std::set<std::string>& expected,
                        const std::set<std::string>& found, bool ignore_unknown) {
  std::vector<std::string> missing;
  std::vector<std::string> unknown;
  std::ranges::set_difference(expected, found, std::back_inserter(missing));
  std::ranges::set_difference(found, expected, std::back_inserter(unknown));
  const auto tensors = [](const std::vector<std::string>& names) {
    return names.size() == 1 ? "tensor " : "tensors ";
  };
  if (!missing.empty()) {
    fail(where, ": ", tensors(missing), list(missing, unknown),
         missing.size() == 1 ? " is missing" : " are missing");
  }
  if (!unknown.empty() && !ignore_unknown) {
    fail(where, ": ", tensors(unknown), list(unknown, missing),
         unknown.size() == 1 ? " is not part of this model" : " are not part of this model",
         "; --ignore-unknown leaves them out");
  }
}

}  // namespace rotor
