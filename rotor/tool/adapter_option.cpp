// The last colon parts directory and weight.
#include "rotor/tool/adapter_option.h"

#include <charconv>
#include <cmath>
#include <filesystem>

#include "rotor/core/error.h"
#include "rotor/tool/main.h"

namespace rotor::tool {

AdapterOption read_adapter_option(const std::string& text) {
  namespace fs = std::filesystem;
  if (fs::exists(text)) return {text};
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) fail("--adapter: ", text, ": no such directory");
  const std::string directory = text.substr(0, colon);
  if (!fs::exists(directory)) fail("--adapter: ", directory, ": no such directory");
  float weight = 0.0F;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data() + colon + 1, end, weight);
  if (error != std::errc() || rest != end || !std::isfinite(weight)) {
    throw UsageError(cat("--adapter: expected DIR or DIR:WEIGHT with a finite number, found \"", text, "\""));
  }
  return {directory, weight};
}

}  // namespace rotor::tool
