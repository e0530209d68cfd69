// `rotor-export` as a user meets it.
#include <gtest/gtest.h>

#include "rotor/core/error.h"
#include "rotor/formats/rotor_file.h"
#include "tests/support/command.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"

namespace rotor {
namespace {

using test::CommandResult;
using test::TempDir;

CommandResult rotor_export(std::vector<std::string> arguments, const test::CommandOptions& options = {}) {
  arguments.insert(arguments.begin(), test::program("rotor-export"));
  return test::run_command(arguments, options);
}

TEST(RotorExportCommand, WritesAFileThatVerifies) {
  const TempDir dir;
  test::write_random_checkpoint(dir.file("c"), test::small_mlp());
  const CommandResult dry = rotor_export({"--dry-run", dir.file("c"), dir.file("m.rotor")});
  EXPECT_EQ(dry.status, 0) << dry.err;
  EXPECT_NE(dry.err.find("layers.0.linear.weight_scale"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(dir.file("m.rotor")));
  const CommandResult result = rotor_export({dir.file("c"), dir.file("m.rotor")});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_NE(result.err.find("ternary planes"), std::string::npos);
  EXPECT_TRUE(RotorFile(dir.file("m.rotor")).verify().empty());
  EXPECT_NE(rotor_export({"--help"}).out.find("examples:"), std::string::npos);
  EXPECT_EQ(rotor_export({"--version"}).status, 0);
}

TEST(RotorExportCommand, HeadScreeningIsChosen) {
  const TempDir dir;
  test::write_random_checkpoint(dir.file("c"), test::small_transformer());
  const auto exported = [&](std::vector<std::string> options) {
    options.insert(options.end(), {dir.file("c"), dir.file("m.rotor")});
    const CommandResult result = rotor_export(options);
    EXPECT_EQ(result.status, 0) << result.err;
    return RotorFile(dir.file("m.rotor")).dense_format().screening;
  };
  EXPECT_FALSE(exported({})) << "a head as small as that is read whole";
  EXPECT_TRUE(exported({"--head-screening", "on"}));
  EXPECT_FALSE(exported({"--head-screening", "off"}));
  const CommandResult dry = rotor_export({"--dry-run", "--head-screening", "on", dir.file("c"), "x"});
  EXPECT_NE(dry.err.find("model.embed_tokens.weight_screen_error"), std::string::npos) << dry.err;
  for (const char* dry_run : {"--dry-run", "--head-screening"}) {
    std::vector<std::string> options = {"--head", "f16", "--head-screening", "on"};
    if (std::string(dry_run) == "--dry-run") options.emplace_back(dry_run);
    options.insert(options.end(), {dir.file("c"), dir.file("x.rotor")});
    const CommandResult bad = rotor_export(options);
    EXPECT_EQ(bad.status, 1);
    EXPECT_NE(bad.err.find("needs a dense head that is kept as q8"), std::string::npos) << bad.err;
  }
  EXPECT_EQ(rotor_export({"--head-screening", "maybe", dir.file("c"), "x"}).status, 2);
}

TEST(RotorExportCommand, FullDiskLeavesNothingUnderTheName) {
  const TempDir dir;
  test::write_random_checkpoint(dir.file("c"), test::small_mlp());
  test::write_bytes(dir.file("m.rotor"), "precious");
  const CommandResult result = rotor_export({dir.file("c"), dir.file("m.rotor")}, {.max_file_bytes = 5000});
  EXPECT_EQ(result.status, 1);
  EXPECT_NE(result.err.find("m.rotor: cannot write"), std::string::npos) << result.err;
  EXPECT_EQ(test::read_bytes(dir.file("m.rotor")), "precious");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 2);
}

TEST(RotorExportCommand, DoesNotWriteOverItsSource) {
  const TempDir dir;
  test::write_random_checkpoint(dir.file("c"), test::small_mlp());
  const std::string weights = test::read_bytes(dir.file("c/model.safetensors"));
  const CommandResult result = rotor_export({dir.file("c"), dir.file("c/../c/model.safetensors")});
  EXPECT_EQ(result.status, 1);
  EXPECT_NE(result.err.find("lies in the checkpoint"), std::string::npos) << result.err;
  EXPECT_EQ(test::read_bytes(dir.file("c/model.safetensors")), weights);
}

TEST(RotorExportCommand, BadSources) {
  const TempDir dir;
  const auto expect_failure = [&](const std::string& source, const std::string& part) {
    const CommandResult result = rotor_export({source, dir.file("m.rotor")});
    EXPECT_EQ(result.status, 1);
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  };
  expect_failure(dir.file("none"), "no such file or directory");
  expect_failure(dir.path(), "config.json");
  test::write_bytes(dir.file("file"), "x");
  expect_failure(dir.file("file"), "expected a checkpoint directory");
  test::write_random_checkpoint(dir.file("run/checkpoint"), test::small_mlp());
  expect_failure(dir.file("run"), "this is a run; its checkpoints are");
  std::string weights = test::read_bytes(dir.file("run/checkpoint/model.safetensors"));
  test::write_bytes(dir.file("run/checkpoint/model.safetensors"), weights.substr(0, 1000));
  expect_failure(dir.file("run/checkpoint"), "model.safetensors: ");
  EXPECT_EQ(rotor_export({dir.file("run/checkpoint")}).status, 2);
}

}  // namespace
}  // namespace rotor
