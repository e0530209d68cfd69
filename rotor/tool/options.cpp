#include "rotor/tool/options.h"

#include <cctype>
#include <cstdio>

#include "rotor/tool/main.h"

namespace rotor::tool {

std::optional<cxxopts::ParseResult> parse_options(cxxopts::Options& options, int argc, char** argv,
                                                  const std::vector<std::string>& required,
                                                  const std::string& examples,
                                                  const std::vector<std::string>& optional) {
  options.add_options()("h,help", "show this help");
  std::vector<std::string> positional = required;
  positional.insert(positional.end(), optional.begin(), optional.end());
  options.parse_positional(positional);
  std::string hint;
  for (const std::string& name : required) {
    hint += " ";
    for (const char c : name) hint += static_cast<char>(std::toupper(c));
  }
  std::string full_hint = hint;
  for (const std::string& name : optional) full_hint += " [" + name + "]";
  options.positional_help(full_hint.empty() ? "" : full_hint.substr(1));
  const std::string see_help = std::string("; see ") + argv[0] + " --help";
  try {
    cxxopts::ParseResult result = options.parse(argc, argv);
    if (result.count("help") != 0) {
      std::printf("%s\nexamples:\n%s", options.help().c_str(), examples.c_str());
      return std::nullopt;
    }
    for (const std::string& name : required) {
      if (result.count(name) == 0) throw UsageError("expected " + hint.substr(1) + see_help);
    }
    if (!result.unmatched().empty())
      throw UsageError("unexpected argument \"" + result.unmatched()[0] + "\"" + see_help);
    return result;
  } catch (const UsageError&) {
    throw;
  } catch (const std::exception& e) {
    throw UsageError(e.what() + see_help);
  }
}

}  // namespace rotor::tool
