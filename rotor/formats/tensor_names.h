// Whether the tensors of a file are those of an architecture, said so that a reader sees what is wrong.
#pragma once

#include <set>
#include <string>

namespace rotor {

/// Throws Error naming `where` unless `found` are exactly `expected`: lists what is missing and, unless
/// `ignore_unknown`, what has no place in the model, each with the nearest name of the other side.
void check_tensor_names(const std::string& where, const std::set<std::string>& expected,
                        const std::set<std::string>& found, bool ignore_unknown);

}  // namespace rotor
