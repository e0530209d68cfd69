// The sampling flags, named as in llama.cpp.
#pragma once

#include <string>

#include "rotor/tool/options.h"
#include "runtime/engine/sampler.h"

namespace rotor::runtime::cli {

void add_sampling_options(cxxopts::Options& options);
/// A seed of -1 becomes a random one. Throws Error naming the flag, what is expected and what was found.
SamplerOptions read_sampling_options(const cxxopts::ParseResult& parsed);

}  // namespace rotor::runtime::cli
