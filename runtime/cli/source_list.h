// What an answer rests on, as text for a terminal.
#pragma once

#include <string>
#include <vector>

#include "runtime/retrieval/retrieval.h"

namespace rotor::runtime::cli {

/// A line a source: "[1] Title, Heading (notes/tides.md, line 12)". With `colors` those that are not among
/// `cited` are faint.
std::string source_lines(const std::vector<retrieval::Source>& sources, const std::vector<int64_t>& cited,
                         bool colors);

/// Why, how fast, and each source with its score and all that the model read of it.
std::string sources_in_full(const retrieval::Retrieval& retrieval);

}  // namespace rotor::runtime::cli
