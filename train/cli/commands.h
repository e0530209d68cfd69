// The sub-commands of `rotor-train`, one file each, and the options that they share. argv[0] is "rotor-train
// COMMAND".
#pragma once

#include <string>
#include <vector>

#include "rotor/tool/options.h"

namespace rotor::train::cli {

int fit(int argc, char** argv);
int eval(int argc, char** argv);
int logits(int argc, char** argv);
int plot(int argc, char** argv);
int tokenizer(int argc, char** argv);

/// --set and --skip-bad, of commands that read a config.
void add_config_options(cxxopts::Options& options);
/// What they say, as the values of --set.
std::vector<std::string> override_arguments(const cxxopts::ParseResult& parsed);

}  // namespace rotor::train::cli
