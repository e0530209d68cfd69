// --gpu-layers, --gpu-memory and --device as a user meets them on a machine without a GPU: read strictly, and
// harmless. What they do to a device is tests/runtime/placement_test.cpp; which there are, devices_test.cpp.
#include <gtest/gtest.h>

#include "rotor/formats/json.h"
#include "tests/support/command.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"

namespace rotor {
namespace {

using test::CommandResult;

class DeviceOptions : public ::testing::Test {
 protected:
  DeviceOptions() { test::write_random_model(dir_.file("m.rotor"), test::small_transformer()); }

  CommandResult run(std::vector<std::string> flags) const {
    std::vector<std::string> arguments = {test::program("rotor"),
                                          "run",
                                          dir_.file("m.rotor"),
                                          "--tokens",
                                          "1 2 3",
                                          "-n",
                                          "4",
                                          "--temp",
                                          "0",
                                          "-t",
                                          "1",
                                          "--backend",
                                          "cpu"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    return test::run_command(arguments);
  }
  test::TempDir dir_;
};

TEST_F(DeviceOptions, DoNothingOnTheCpu) {
  const CommandResult plain = run({});
  ASSERT_EQ(plain.status, 0) << plain.err;
  EXPECT_EQ(plain.err.find("--gpu-layers"), std::string::npos) << plain.err;
  const std::vector<std::vector<std::string>> all = {
      {"-ngl", "0"}, {"-ngl", "auto"}, {"--gpu-memory", "1.5G"}, {"--gpu-memory", "800M", "--device", "0"}};
  for (const auto& flags : all) {
    const CommandResult result = run(flags);
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.out, plain.out);
    EXPECT_EQ(result.err.find("warning"), std::string::npos) << result.err;
  }
  // As llama.cpp's: scripts give it everywhere, and a user should hear that it came to nothing.
  for (const std::string layers : {"99", "all"}) {
    const CommandResult result = run({"-ngl", layers});
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.out, plain.out);
    EXPECT_NE(result.err.find("warning: --gpu-layers"), std::string::npos) << result.err;
    EXPECT_NE(result.err.find("backend cpu, kernels"), std::string::npos) << result.err;
  }
}

TEST_F(DeviceOptions, AreReadStrictly) {
  for (const std::string layers : {"-1", "some", "3x", "", "1.5", "99999999999999999999"}) {
    const CommandResult result = run({"--gpu-layers=" + layers});
    EXPECT_EQ(result.status, 1) << layers;
    EXPECT_NE(result.err.find("--gpu-layers: expected"), std::string::npos) << result.err;
  }
  for (const std::string size : {"-1G", "4X", "G", "4GB", "0", "", "nan", "inf", "9e99"}) {
    const CommandResult result = run({"--gpu-memory=" + size});
    EXPECT_EQ(result.status, 1) << size;
    EXPECT_NE(result.err.find("--gpu-memory: expected"), std::string::npos) << result.err;
  }
}

TEST_F(DeviceOptions, BenchSaysWhereTheModelRan) {
  const CommandResult result =
      test::run_command({test::program("rotor"), "bench", dir_.file("m.rotor"), "-p", "4", "-n", "4", "-r",
                         "1", "--no-bandwidth", "--json", "--backend", "cpu", "-t", "1"});
  ASSERT_EQ(result.status, 0) << result.err;
  const Json json = parse_json(result.out, "bench");
  EXPECT_EQ(json.at("backend"), "cpu");
  EXPECT_TRUE(json.at("device").is_null());
  EXPECT_EQ(json.at("gpu_layers"), 0);
  EXPECT_EQ(json.at("threads"), 1);
  EXPECT_TRUE(json.at("kernels").is_string());
}

}  // namespace
}  // namespace rotor
