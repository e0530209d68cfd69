// Golden vectors made by implementations that nobody here wrote: tests/golden/*/README.md names generator and
// version.
#pragma once

#include <string>
#include <vector>

#include "rotor/formats/safetensors.h"

namespace rotor::test {

/// The path of tests/golden/NAME.
std::string golden_path(const std::string& name);

/// The same, opened.
SafetensorsFile open_golden(const std::string& name);

/// The cases of a golden file: what stands before ".FIELD" in its keys.
std::vector<std::string> golden_cases(const SafetensorsFile& file, const std::string& field);

/// A path below the shared folder (ROTOR_SHARED, default ../shared beside the project), or "" if it is not
/// there.
std::string shared_path(const std::string& name);

}  // namespace rotor::test
