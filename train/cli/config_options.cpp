// A flag is a --set by another name.
#include "train/cli/commands.h"

namespace rotor::train::cli {

void add_config_options(cxxopts::Options& options) {
  options.add_options()("set", "override a key: KEY.PATH=VALUE (repeatable)",
                        cxxopts::value<std::vector<std::string>>())(
      "skip-bad", "of conversations and preferences: count lines that are none, and go on without them");
}

std::vector<std::string> override_arguments(const cxxopts::ParseResult& parsed) {
  std::vector<std::string> overrides;
  if (parsed.count("set") != 0) overrides = parsed["set"].as<std::vector<std::string>>();
  if (parsed.count("skip-bad") != 0) overrides.emplace_back("data.skip_bad=true");
  return overrides;
}

}  // namespace rotor::train::cli
