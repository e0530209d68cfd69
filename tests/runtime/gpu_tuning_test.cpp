// How kernels are shaped: any choice gives the same results, choices are written and read, and what was
// measured once is kept, but never trusted blindly.
#include "runtime/backends/gpu/tune.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "rotor/formats/json.h"
#include "tests/support/environment.h"
#include "tests/support/gpu_backends.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime::gpu {
namespace {

using test::DisguisedDevice;
using test::expect_error;
using test::Variable;

DeviceInfo large_device() {
  DeviceInfo info;
  info.name = "large";
  info.largest_group = 1024;
  info.local_memory = 65536;
  info.most_rows = 16;
  return info;
}

// Each differs in what shapes few kernels, since every kernel of another shape is compiled anew.
constexpr const char* kTunings[] = {
    "matvec_rows=1 matvec_group=16 matmul_tokens=1 matmul_group=64",
    "matvec_rows=1 matvec_group=32 matmul_tokens=1 matmul_group=128",
    "matvec_rows=1 matvec_group=256 matmul_tokens=1 matmul_group=256",
    "matvec_rows=4 matvec_group=4 matmul_tokens=8",
    "matvec_rows=4 matvec_group=64 matmul_tokens=16",
    "matvec_rows=4 matvec_group=256 matmul_tokens=2",
    "matvec_rows=16 matvec_group=1 matmul_tokens=8",
    "matvec_rows=16 matvec_group=64 matmul_tokens=4",
    "dense_group=1 dense_lanes=1 dense_block=16 row_group=1",
    "dense_group=64 dense_lanes=8 dense_block=2 row_group=16",
    "dense_group=256 dense_lanes=256 dense_block=1 row_group=512",
    "plain_group=16",
    "plain_group=256 attention_group=256",
};

class GpuTuningTest : public ::testing::TestWithParam<Driver> {
 protected:
  struct Answer {
    std::optional<Tuning> tuning;  ///< none: it was to be measured, and for that there was no memory
    std::string said;
  };
  /// What tuning_for() gives on a new device.
  Answer ask(bool can_measure = false) const {
    // Little memory to measure with, so that it takes no time.
    DisguisedDevice device(
        real_, [](DeviceInfo& info) { info.largest_binding = info.largest_buffer = uint64_t{1} << 22; });
    Context context(device, default_tuning(device.info()));
    if (!can_measure) device.set_memory(0);
    // Drivers, too, keep what they compile there.
    const Variable cache("XDG_CACHE_HOME", cache_), home("HOME", home_), tuning("ROTOR_GPU_TUNING", wanted_);
    Answer answer;
    testing::internal::CaptureStderr();
    try {
      answer.tuning = tuning_for(GetParam().name, context);
    } catch (const Error& e) {
      if (std::string(e.what()).find("no room") == std::string::npos) {
        testing::internal::GetCapturedStderr();
        throw;
      }
    }
    answer.said = testing::internal::GetCapturedStderr();
    EXPECT_EQ(device.statistics().submitted > 0, can_measure && !answer.said.empty());
    return answer;
  }
  const DeviceInfo& info() const { return real_->info(); }
  Tuning changed(const std::string& text) const {
    Tuning tuning = default_tuning(info());
    set_from_text(text, info(), tuning);
    return tuning;
  }
  std::string path() const { return cache_ + "/rotor/gpu-tuning.json"; }

  std::shared_ptr<Device> real_ = GetParam().open(0);
  test::TempDir directory_;
  std::string cache_ = directory_.file("cache");
  std::string home_ = directory_.file("home");
  std::string wanted_;
};

INSTANTIATE_TEST_SUITE_P(Drivers, GpuTuningTest, ::testing::ValuesIn(drivers().begin(), drivers().end()),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_P(GpuTuningTest, EveryChoiceAgreesWithTheCpu) {
  for (const std::string text : kTunings) {
    if (text.find("matvec_rows=16") != std::string::npos && info().most_rows < 16) continue;
    SCOPED_TRACE(text);
    const auto [device, backend] = test::disguised_backend(GetParam(), real_, {}, changed(text));
    EXPECT_TRUE(test::all_pass(*backend));
  }
}

TEST_P(GpuTuningTest, WhatWasMeasuredIsKept) {
  const Answer first = ask(true);
  ASSERT_TRUE(first.tuning);
  EXPECT_NE(first.said.find(cat("measuring which kernels suit ", info().name)), std::string::npos);
  ASSERT_TRUE(std::filesystem::exists(path()));
  const Answer second = ask();
  EXPECT_EQ(second.tuning, first.tuning);
  EXPECT_EQ(second.said, "");

  // It is read from there, and other devices' choices stay when it is measured anew.
  Json kept = read_json_file(path());
  const std::string key = kept.items().begin().key();
  const std::string text = "row_group=8 plain_group=16";
  kept[key] = text;
  kept["1|another"] = "row_group=2";
  test::write_bytes(path(), dump_json(kept, 2));
  EXPECT_EQ(ask().tuning, changed(text));
  wanted_ = "measure";
  EXPECT_EQ(ask().tuning, std::nullopt);
  EXPECT_EQ(read_json_file(path()), kept);
  EXPECT_TRUE(ask(true).tuning);
  kept = read_json_file(path());
  EXPECT_EQ(kept.at("1|another"), "row_group=2");
  EXPECT_NE(kept.at(key), text);
  // A device is known by API, name and driver.
  for (const std::string& part : {std::string(GetParam().name), info().name, info().driver}) {
    EXPECT_NE(key.find(part), std::string::npos) << key;
  }

  // What cannot be is measured anew, and so is what was measured for others.
  wanted_ = "";
  std::string other_version = key;
  other_version[0] = '0';
  const auto entry = [](const std::string& name, const std::string& value) {
    return cat("{\"", name, "\": ", value, "}");
  };
  for (const std::string& contents :
       {std::string(""), "{\"" + key, std::string("[1, 2]"), entry(key, "7"),
        entry(key, "\"row_group=1048576\""), entry(key, "\"sieve=4\""), entry(key + "x", "\"row_group=8\""),
        entry(other_version, "\"row_group=8\"")}) {
    test::write_bytes(path(), contents);
    EXPECT_EQ(ask().tuning, std::nullopt) << contents;
  }
  test::write_bytes(path(), entry(key, "\"row_group=8\""));
  EXPECT_EQ(ask().tuning, changed("row_group=8"));
  test::write_bytes(path(), "no JSON");
  EXPECT_TRUE(ask(true).tuning);
  EXPECT_TRUE(ask().tuning);
}

TEST_P(GpuTuningTest, NoPlaceToKeepItIsNoError) {
  test::write_bytes(directory_.file("file"), "");
  cache_ = directory_.file("file");
  const Answer answer = ask(true);
  EXPECT_TRUE(answer.tuning);
  EXPECT_NE(answer.said.find("the choice is not kept"), std::string::npos) << answer.said;
  cache_ = "";
  home_ = "";
  EXPECT_TRUE(ask(true).tuning);
  home_ = directory_.file("home");
  EXPECT_TRUE(ask(true).tuning);
  EXPECT_TRUE(std::filesystem::exists(directory_.file("home/.cache/rotor/gpu-tuning.json")));
}

TEST_P(GpuTuningTest, TheVariableIsObeyedOrRefused) {
  const auto with = [&](const std::string& value) {
    wanted_ = value;
    const Answer answer = ask();
    EXPECT_EQ(answer.said, "") << value;
    return answer.tuning;
  };
  EXPECT_EQ(with("default"), default_tuning(info()));
  EXPECT_EQ(with("matvec_group=32 row_group=32"), changed("matvec_group=32 row_group=32"));
  EXPECT_FALSE(std::filesystem::exists(path()));
  expect_error([&] { with("fast"); }, {"ROTOR_GPU_TUNING", "default, measure or NAME=VALUE", "\"fast\""});
  expect_error([&] { with("row_group=48"); }, {"ROTOR_GPU_TUNING", "row_group", "power of two", "\"48\""});
  expect_error([&] { with("fast=1"); }, {"ROTOR_GPU_TUNING", "row_group, matvec_rows", "\"fast=1\""});
}

TEST(GpuTuningText, SaysAllAndReadsItAgain) {
  const DeviceInfo info = large_device();
  for (const std::string text : kTunings) {
    Tuning tuning = default_tuning(info);
    set_from_text(text, info, tuning);
    Tuning again = default_tuning(info);
    set_from_text(to_text(tuning), info, again);
    EXPECT_EQ(again, tuning) << text;
    EXPECT_NE(tuning, default_tuning(info)) << text;
  }
  Tuning same;
  set_from_text("", info, same);
  EXPECT_EQ(same, Tuning());
}

TEST(GpuTuningText, WhatCannotBeIsAnErrorThatNamesIt) {
  const auto refused = [](const std::string& text, const std::vector<std::string>& parts,
                          const DeviceInfo& info = large_device()) {
    Tuning tuning;
    expect_error([&] { set_from_text(text, info, tuning); }, parts);
  };
  refused("row_group", {"NAME=NUMBER", "\"row_group\""});
  refused("row_group=", {"row_group", "\"\""});
  refused("row_group=0", {"row_group", "from 1", "\"0\""});
  refused("row_group=-1", {"row_group", "\"-1\""});
  refused("row_group=8x", {"row_group", "\"8x\""});
  refused("row_group=2048", {"row_group", "to 1024"});
  refused("row_group=99999999999", {"row_group"});
  refused("plain_group=8", {"plain_group", "from 16"});
  refused("matmul_group=32", {"matmul_group", "from 64"});
  refused("attention_group=32", {"attention_group", "from 64"});
  refused("matmul_tokens=32", {"matmul_tokens", "to 16"});
  refused("matvec_rows=2", {"matvec_rows", "1, 4 or 16"});
  refused("matvec_rows=1 matvec_group=8", {"matvec_group", "at least 16"});
  refused("matvec_rows=4 matvec_group=2", {"matvec_group", "at least 4"});
  refused("dense_group=8 dense_lanes=16", {"dense_lanes", "8", "16"});
  DeviceInfo narrow = large_device();
  narrow.most_rows = 4;
  refused("matvec_rows=16", {"matvec_rows", "to 4"}, narrow);
  // What a group's work items share must fit.
  DeviceInfo little = large_device();
  little.local_memory = 16384;
  refused("matvec_rows=16 matvec_group=512", {"matvec_group", "16384", "32768"}, little);
  refused("attention_group=1024", {"attention_group", "16384"}, little);
  refused("matmul_group=1024", {"matmul_group", "16384"}, little);
}

TEST(GpuTuningText, DefaultsSuitAnyDevice) {
  for (const DeviceType type : {DeviceType::discrete, DeviceType::integrated, DeviceType::cpu}) {
    for (const uint32_t rows : {1U, 4U, 16U}) {
      for (const uint32_t group : {64U, 100U, 128U, 1024U, 8192U}) {
        DeviceInfo info = large_device();
        info.type = type;
        info.most_rows = rows;
        info.largest_group = group;
        info.local_memory = 16384;
        Tuning tuning = default_tuning(info);
        set_from_text(to_text(tuning), info, tuning);  // throws for what cannot be
      }
    }
  }
  DeviceInfo tiny = large_device();
  tiny.largest_group = 32;
  expect_error([&] { default_tuning(tiny); }, {"large", "at least 64", "32"});
}

}  // namespace
}  // namespace rotor::runtime::gpu
