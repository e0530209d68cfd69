// Which sources an answer names.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace rotor::runtime::retrieval {

/// The numbers from 1 to `num_sources` that stand in `answer` in brackets, as "[2]", "[1][3]" or "[1, 3]",
/// each once, in the order in which they first appear. Brackets with anything else in them name no source.
std::vector<int64_t> cited_sources(std::string_view answer, int64_t num_sources);

}  // namespace rotor::runtime::retrieval
