// Which device is taken, and that one which computes wrongly is not.
#include "runtime/backends/gpu/choose.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "rotor/formats/mapped_file.h"
#include "tests/support/environment.h"
#include "tests/support/gpu_backends.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime::gpu {
namespace {

using test::DisguisedDevice;
using test::expect_error;

// A driver is functions without state: what theirs is lies here.
std::vector<DeviceInfo> shown;
std::string left_out;
size_t opened = 0;

DeviceInfo device(const std::string& name, DeviceType type) {
  DeviceInfo info;
  info.name = name;
  info.type = type;
  return info;
}

const Driver kPretended{"pretended", [] { return shown; },
                        [](size_t index) -> std::unique_ptr<Device> {
                          opened = index;
                          auto made = std::make_unique<DisguisedDevice>(
                              drivers().front().open(0),
                              [&](DeviceInfo& info) { info.name = shown.at(index).name; });
                          made->leave_out(left_out);
                          return made;
                        }};

class GpuChoiceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    shown = {device("Slow Processor", DeviceType::cpu), device("Small Radeon", DeviceType::integrated),
             device("Large Radeon", DeviceType::discrete)};
    left_out = "";
    opened = 99;
  }
  const test::Variable tuning_{"ROTOR_GPU_TUNING", "default"};
};

// Drivers bring LLVM, and LLVM handlers of signals: a model file that is truncated meanwhile must stay an
// error.
TEST_F(GpuChoiceTest, WhatWatchesMappedFilesStaysOnTop) {
  watch_for_truncation();
  struct sigaction ours = {};
  sigaction(SIGBUS, nullptr, &ours);
  for (const Driver& driver : drivers()) {
    ASSERT_NE(open_gpu_backend(driver, ""), nullptr);
    struct sigaction now = {};
    sigaction(SIGBUS, nullptr, &now);
    EXPECT_EQ(now.sa_sigaction, ours.sa_sigaction) << driver.name;
  }
}

TEST_F(GpuChoiceTest, ByNumberNameOrKind) {
  EXPECT_EQ(choose_device(kPretended, ""), 1U);
  EXPECT_EQ(choose_device(kPretended, "0"), 0U);
  EXPECT_EQ(choose_device(kPretended, "2"), 2U);
  EXPECT_EQ(choose_device(kPretended, "radeon"), 1U);
  EXPECT_EQ(choose_device(kPretended, "LARGE rad"), 2U);
  expect_error([] { choose_device(kPretended, "3"); },
               {"--device", "pretended", "0: Slow Processor, 1: Small Radeon, 2: Large Radeon", "\"3\""});
  expect_error([] { choose_device(kPretended, "geforce"); }, {"--device", "\"geforce\""});
  shown = {device("Slow Processor", DeviceType::cpu)};
  EXPECT_EQ(choose_device(kPretended, ""), 0U);
  shown = {};
  expect_error([] { choose_device(kPretended, ""); }, {"pretended", "no device on this machine"});
}

TEST_F(GpuChoiceTest, ADeviceThatComputesRightlyIsTaken) {
  const auto backend = open_gpu_backend(kPretended, "large");
  EXPECT_EQ(opened, 2U);
  EXPECT_EQ(backend->name(), "pretended");
  EXPECT_EQ(backend->device(), "Large Radeon");
}

// Each of these kernels matters to a language model, and so is looked at before every start.
TEST_F(GpuChoiceTest, ADeviceThatComputesWronglyIsRefused) {
  for (const auto& [kernel, op] : {std::pair("quantize_int8", "linear, int8"),
                                   {"matvec_int8", "linear, int8"},
                                   {"append_kv", "attention"},
                                   {"attention", "attention"}}) {
    SCOPED_TRACE(kernel);
    left_out = kernel;
    EXPECT_THROW(open_gpu_backend(kPretended, "small"), Refused);
    expect_error(
        [] { open_gpu_backend(kPretended, "small"); },
        {"backend pretended: Small Radeon is refused", op, "differs from the CPU's by", "rotor doctor"});
    testing::internal::CaptureStderr();
    EXPECT_EQ(open_unless_refused(kPretended, "small"), nullptr);
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_NE(said.find("Small Radeon is refused"), std::string::npos) << said;
    EXPECT_NE(said.find("The CPU takes over"), std::string::npos) << said;
  }
  left_out = "";
  EXPECT_NE(open_unless_refused(kPretended, "small"), nullptr);
  // What cannot be obeyed is an error all the same.
  expect_error([] { open_unless_refused(kPretended, "geforce"); }, {"--device"});
}

TEST_F(GpuChoiceTest, DriversAreFoundByName) {
  for (const Driver& known : drivers()) EXPECT_EQ(driver(known.name).name, known.name);
  expect_error([] { driver("metal"); }, {"metal", "built without it"});
}

// As for users: by name and by variable, on this machine's devices.
TEST_F(GpuChoiceTest, BackendsOfThisMachineAreMade) {
  for (const Driver& known : drivers()) {
    const auto backend = make_backend(known.name);
    EXPECT_EQ(backend->name(), known.name);
    EXPECT_EQ(backend->device(), known.list().at(0).name);
    const test::Variable forced("ROTOR_BACKEND", known.name);
    EXPECT_EQ(make_backend()->name(), known.name);
    expect_error([&] { make_backend(known.name, 1, false, "no such device"); }, {"--device", known.name});
  }
}

}  // namespace
}  // namespace rotor::runtime::gpu
