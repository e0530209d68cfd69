// The sub-commands of `rotor-train`, one file each. argv[0] is "rotor-train COMMAND".
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

/// The values of all --set options.
inline std::vector<std::string> override_arguments(const cxxopts::ParseResult& parsed) {
  return parsed.count("set") == 0 ? std::vector<std::string>() : parsed["set"].as<std::vector<std::string>>();
}

}  // namespace rotor::train::cli
