// Names of modules against what transformers makes of them.
#include "rotor/core/module_pattern.h"

#include <gtest/gtest.h>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "tests/support/golden.h"
#include "tests/support/temp_dir.h"

namespace rotor {
namespace {

TEST(ModulePattern, MeansWhatTransformersTakesItFor) {
  const Json golden = read_json_file(test::golden_path("bitnet-options/modules.json"));
  const auto modules = golden["modules"].get<std::vector<std::string>>();
  EXPECT_EQ(modules.size(), 23U);
  EXPECT_EQ(golden["patterns"].size(), 39U);
  for (const auto& [pattern, expected] : golden["patterns"].items()) {
    std::vector<std::string> found;
    for (const std::string& module : modules) {
      if (matches_module(pattern, module)) found.push_back(module);
    }
    EXPECT_EQ(found, expected.get<std::vector<std::string>>()) << '"' << pattern << '"';
  }
}

TEST(ModulePattern, OtherExpressionsAreRefused) {
  for (const char* pattern : {"model.layers.[01]", "(q|k)_proj", "k_proj$", "layers.1+", "*mlp", "a**",
                              "a\\d", "a\\", "k proj", "k_proj?"}) {
    test::expect_error([&] { matches_module(pattern, "model.layers.0.self_attn.k_proj"); },
                       {"modules_to_not_convert", "a module's name", pattern});
  }
}

// A backtracking matcher would try 40! / 20! / 20! ways.
TEST(ModulePattern, TakesNoExponentialTime) {
  std::string pattern;
  for (int i = 0; i < 20; ++i) pattern += "a*.*";
  EXPECT_FALSE(matches_module(pattern + "b", std::string(40, 'a')));
  EXPECT_TRUE(matches_module(pattern + "b", std::string(40, 'a') + "b"));
}

}  // namespace
}  // namespace rotor
