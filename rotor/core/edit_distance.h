// How far apart two names are, to suggest the one that was meant.
#pragma once

#include <cstddef>
#include <string>

namespace rotor {

/// Least number of characters to insert, remove or replace (Levenshtein 1966). Takes time in proportion to
/// the product of the lengths.
size_t edit_distance(const std::string& a, const std::string& b);

}  // namespace rotor
