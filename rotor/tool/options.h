// Command-line options by cxxopts, with the two things that every command wants: --help with examples, and
// errors that say where help is.
#pragma once

// Values of repeated options stay whole: a --set may hold a list with commas.
#define CXXOPTS_VECTOR_DELIMITER '\x1f'
// The library's parser without std::regex: half the time to compile a command. -n50 stays -n 50, but a value that is
// not of letters and digits alone stands apart (-o model.rotor).
#define CXXOPTS_NO_REGEX
#include <cxxopts.hpp>
#include <optional>
#include <string>
#include <vector>

#include "rotor/tool/main.h"

namespace rotor::tool {

/// Parses; prints help and returns nothing when --help was given. Throws UsageError for unknown or malformed
/// options, for missing positional arguments (`required`), and for arguments left over.
std::optional<cxxopts::ParseResult> parse_options(cxxopts::Options& options, int argc, char** argv,
                                                  const std::vector<std::string>& required,
                                                  const std::string& examples,
                                                  const std::vector<std::string>& optional = {});

}  // namespace rotor::tool
