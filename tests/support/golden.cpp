// Where golden files and shared data lie.
#include "tests/support/golden.h"

#include <cstdlib>
#include <filesystem>

namespace rotor::test {

std::string golden_path(const std::string& name) {
  return std::string(ROTOR_GOLDEN_DIR) + "/" + name;
}

SafetensorsFile open_golden(const std::string& name) {
  return SafetensorsFile(golden_path(name));
}

std::vector<std::string> golden_cases(const SafetensorsFile& file, const std::string& field) {
  std::vector<std::string> cases;
  const std::string ending = "." + field;
  for (const TensorInfo& tensor : file.tensors()) {
    if (tensor.name.ends_with(ending))
      cases.push_back(tensor.name.substr(0, tensor.name.size() - ending.size()));
  }
  return cases;
}

std::string shared_path(const std::string& name) {
  const char* configured = std::getenv("ROTOR_SHARED");
  const std::string base = configured != nullptr ? configured : std::string(ROTOR_SOURCE_DIR) + "/../shared";
  const std::string path = base + "/" + name;
  return std::filesystem::exists(path) ? path : "";
}

}  // namespace rotor::test
