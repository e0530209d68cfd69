// The include rule of the design: train/, export/ and runtime/ never include one another, rotor/ includes
// none of them, core and kernels include nothing above them, and only train/ knows LibTorch.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>

namespace rotor {
namespace {

namespace fs = std::filesystem;

/// A file is under the longest that names it.
const std::map<std::string, std::set<std::string>> kMayInclude = {
    {"rotor/core", {"rotor/core"}},
    {"rotor/formats", {"rotor/core", "rotor/formats"}},
    {"rotor/kernels", {"rotor/core", "rotor/kernels"}},
    {"rotor/text", {"rotor/core", "rotor/formats", "rotor/text"}},
    {"rotor/tool", {"rotor/core", "rotor/tool"}},
    {"export", {"rotor", "export"}},
    {"train", {"rotor", "train"}},
    {"runtime/backends", {"rotor/core", "rotor/formats", "rotor/kernels", "runtime/backends"}},
    {"runtime/ops", {"rotor/core", "runtime/backends", "runtime/ops"}},
    {"runtime/model", {"rotor/core", "rotor/formats", "runtime/backends", "runtime/ops", "runtime/model"}},
    {"runtime/engine",
     {"rotor/core", "rotor/formats", "rotor/text", "runtime/backends", "runtime/model", "runtime/engine"}},
    {"runtime/chat", {"rotor/core", "rotor/formats", "rotor/text", "runtime/engine", "runtime/chat"}},
    {"runtime/server", {"rotor/core", "rotor/formats", "runtime/server"}},
    {"runtime/server/api",
     {"rotor/core", "rotor/formats", "rotor/text", "runtime/engine", "runtime/grammar", "runtime/retrieval",
      "runtime/server/api", "runtime/server/http"}},
    {"runtime/server/http", {"rotor/core", "rotor/formats", "runtime/engine", "runtime/server/http"}},
    {"runtime/server/operation",
     {"rotor/core", "rotor/formats", "runtime/engine", "runtime/server/http", "runtime/server/operation"}},
    {"runtime/rag", {"rotor/core", "rotor/formats", "rotor/kernels", "rotor/text", "runtime/rag"}},
    {"runtime/retrieval",
     {"rotor/core", "rotor/formats", "rotor/text", "runtime/rag", "runtime/engine", "runtime/retrieval"}},
    {"runtime/grammar", {"rotor/core", "rotor/formats", "rotor/text", "runtime/engine", "runtime/grammar"}},
    {"runtime/cli", {"rotor", "runtime"}},
};

bool starts_with_any(const std::string& path, const std::set<std::string>& folders) {
  for (const std::string& folder : folders) {
    if (path.starts_with(folder + "/")) return true;
  }
  return false;
}

TEST(IncludeRule, ArrowsPointOneWay) {
  const fs::path root = ROTOR_SOURCE_DIR;
  const std::regex include("^#include [<\"]([^>\"]+)[>\"]");
  size_t files = 0;
  for (const char* top : {"rotor", "export", "train", "runtime"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      const std::string extension = entry.path().extension();
      if (extension != ".h" && extension != ".cpp") continue;
      const std::string file = fs::relative(entry.path(), root).string();
      const auto rule = std::find_if(kMayInclude.rbegin(), kMayInclude.rend(),
                                     [&](const auto& r) { return file.starts_with(r.first + "/"); });
      ASSERT_NE(rule, kMayInclude.rend()) << file << " is in a folder without a rule: add one to this test";
      ++files;
      std::ifstream in(entry.path());
      for (std::string line; std::getline(in, line);) {
        std::smatch match;
        if (!std::regex_search(line, match, include)) continue;
        const std::string target = match[1];
        if (fs::exists(root / target)) {
          EXPECT_TRUE(starts_with_any(target, rule->second)) << file << " may not include " << target;
        }
        const bool is_torch =
            target.starts_with("torch/") || target.starts_with("ATen/") || target.starts_with("c10/");
        EXPECT_TRUE(!is_torch || file.starts_with("train/")) << file << " includes " << target;
      }
    }
  }
  EXPECT_GT(files, 50U);
}

TEST(FileLength, NoSourceFileGrowsPast500Lines) {
  for (const char* top : {"rotor", "export", "train", "runtime", "tests"}) {
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(ROTOR_SOURCE_DIR) / top)) {
      const std::string extension = entry.path().extension();
      if (extension != ".h" && extension != ".cpp") continue;
      std::ifstream in(entry.path());
      size_t lines = 0;
      for (std::string line; std::getline(in, line);) ++lines;
      EXPECT_LE(lines, 500U) << entry.path();
    }
  }
}

}  // namespace
}  // namespace rotor
