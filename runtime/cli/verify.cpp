// rotor verify: checksums, sentinels, shapes.
#include <cstdio>

#include "rotor/core/error.h"
#include "rotor/formats/rotor_file.h"
#include "rotor/tool/options.h"
#include "runtime/cli/commands.h"

namespace rotor::runtime::cli {
namespace {
constexpr const char* kVerifyExamples = "  rotor verify fashion.rotor\n";
}

int verify(int argc, char** argv) {
  cxxopts::Options options(
      "rotor verify",
      "Reads every byte of a .rotor file: checksums, pairs (1,1) in the planes, shapes, scales.\n"
      "Prints each fault and exits 1, or says that the file is sound.");
  options.add_options()("model", ".rotor file", cxxopts::value<std::string>())(
      "max-faults", "stop after so many faults", cxxopts::value<size_t>()->default_value("20"));
  const auto parsed = tool::parse_options(options, argc, argv, {"model"}, kVerifyExamples);
  if (!parsed) return 0;
  const auto path = (*parsed)["model"].as<std::string>();
  const auto max_faults = (*parsed)["max-faults"].as<size_t>();
  if (max_faults < 1) fail("--max-faults: expected at least 1, found 0");
  const RotorFile file(path);
  const auto faults = file.verify(max_faults);
  for (const std::string& fault : faults) std::fprintf(stderr, "rotor: %s\n", tool::printable(fault).c_str());
  if (!faults.empty()) return 1;
  std::fprintf(stderr, "%s: sound: header, %zu tensors, %zu bytes\n", path.c_str(),
               file.container().tensors().size(), file.container().file_bytes());
  return 0;
}

}  // namespace rotor::runtime::cli
