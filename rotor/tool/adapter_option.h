// --adapter DIR[:WEIGHT], which the programs read alike.
#pragma once

#include <string>

namespace rotor::tool {

/// A directory with an adapter, and how often it is added to the base.
struct AdapterOption {
  std::string directory;
  float weight = 1.0F;
};

/// Reads "DIR" or "DIR:WEIGHT"; what stands as a directory is one, whatever colons it has. Throws UsageError
/// for a weight that is no finite number, Error for a directory that is not there.
AdapterOption read_adapter_option(const std::string& text);

}  // namespace rotor::tool
