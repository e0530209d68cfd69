// What is Vulkan's own: machines without it, drivers that fail (tests/support/vulkan_faults.cpp), and the
// validation layer, which watches all tests of this program.
#include "runtime/backends/vulkan/vulkan_device.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "runtime/backends/backend.h"
#include "tests/support/command.h"
#include "tests/support/environment.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime {
namespace {

using gpu::Binding;
using gpu::Buffer;
using gpu::Command;
using gpu::Device;
using test::Variable;

Command copy(const std::shared_ptr<Buffer>& from, const std::shared_ptr<Buffer>& to) {
  Command command;
  command.bindings[0] = {from, 0, from->size()};
  command.bindings[1] = {to, 0, to->size()};
  command.binding_count = 2;
  return command;
}

TEST(VulkanTest, ListsNothingWithoutTheLibrary) {
  if (std::getenv("ROTOR_TEST_HAS_NO_VULKAN") != nullptr) {
    EXPECT_TRUE(kVulkanDriver.list().empty());
    EXPECT_THROW(kVulkanDriver.open(0), Error);
    return;
  }
  // A file that is no library, found first.
  const test::TempDir folder;
  for (const char* name : {"/libvulkan.so", "/libvulkan.so.1"}) std::ofstream(folder.path() + name).flush();
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  const test::CommandResult child = test::run_command(
      {self, "--gtest_filter=VulkanTest.ListsNothingWithoutTheLibrary"},
      {.environment = {{"LD_LIBRARY_PATH", folder.path()}, {"ROTOR_TEST_HAS_NO_VULKAN", "1"}}});
  EXPECT_EQ(child.status, 0) << child.out << child.err;
  EXPECT_EQ(child.err, "");
}

TEST(VulkanTest, ListsNothingWithoutADriver) {
  const Variable none("VK_ICD_FILENAMES", "/no/such/driver.json");
  testing::internal::CaptureStderr();
  EXPECT_TRUE(kVulkanDriver.list().empty());
  test::expect_error([] { kVulkanDriver.open(0); }, {"one of 0 devices"});
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(VulkanTest, ValidationThatIsMissingIsAnError) {
  const test::TempDir folder;
  const Variable nowhere("VK_LAYER_PATH", folder.path());
  test::expect_error([] { kVulkanDriver.list(); }, {"vulkan-validationlayers"});
}

TEST(VulkanTest, WhatValidationSaysIsThrown) {
  const auto device = kVulkanDriver.open(0);
  const auto small = device->allocate(1024, false);
  const auto large = device->allocate(4096, false);
  testing::internal::CaptureStderr();
  test::expect_error([&] { device->run(std::vector<Command>{copy(large, small)}); }, {"vkCmdCopyBuffer"});
  EXPECT_NE(testing::internal::GetCapturedStderr().find("Vulkan validation: "), std::string::npos);
  EXPECT_EQ(device->statistics().submitted, 0U);
  device->wait();  // it was said once
}

TEST(VulkanTest, NumbersOfGroupsBeyondTheDeviceAreAnError) {
  const auto device = kVulkanDriver.open(0);
  const auto buffer = device->allocate(1024, false);
  Command command;
  command.kernel = &device->kernel({"rms_norm", {{"SUBGROUPS", 0}}, {{"GROUP", 64}}});
  command.bindings = {Binding{buffer, 0, 256}, Binding{buffer, 256, 256}, Binding{buffer, 512, 256}};
  command.binding_count = 3;
  command.param_count = 2;
  command.groups = {1, 1, 0xFFFFFFFF};
  test::expect_error([&] { device->run({&command, 1}); }, {"rms_norm", "found 4294967295"});
}

class VulkanFaultTest : public ::testing::Test {
 protected:
  // Next to the validation layer, which the device asks for itself.
  const Variable path_{"VK_ADD_LAYER_PATH", ROTOR_FAULT_LAYER_DIR};
  const Variable layers_{"VK_INSTANCE_LAYERS", "VK_LAYER_ROTOR_faults"};
};

TEST_F(VulkanFaultTest, ADeviceThatIsLostSaysSoFromThenOn) {
  for (const char* fault : {"ROTOR_FAULT_SUBMIT", "ROTOR_FAULT_WAIT"}) {
    SCOPED_TRACE(fault);
    std::unique_ptr<Device> device = kVulkanDriver.open(0);
    auto from = device->allocate(1024, true);
    auto to = device->allocate(1024, false);
    const std::vector<Command> commands{copy(from, to)};
    device->run(commands);
    device->wait();
    {
      const Variable failing(fault, "0");
      EXPECT_THROW(
          {
            device->run(commands);
            device->wait();
          },
          DeviceLost);
    }
    // No call reaches the driver any more, which would do them all again.
    test::expect_error([&] { device->wait(); }, {device->info().name, "lost"});
    EXPECT_THROW(device->run(commands), DeviceLost);
    EXPECT_THROW(device->allocate(16, true), DeviceLost);
    EXPECT_THROW(device->import({}), DeviceLost);
    EXPECT_THROW(device->free_memory(), DeviceLost);
    EXPECT_THROW(device->kernel({"rms_norm", {{"SUBGROUPS", 0}}, {{"GROUP", 64}}}), DeviceLost);
    std::vector<uint8_t> bytes(16);
    EXPECT_THROW(device->write(*to, 0, bytes), DeviceLost);
    EXPECT_THROW(device->read(*from, 0, bytes), DeviceLost);
    from.reset();
    to.reset();
  }
}

TEST_F(VulkanFaultTest, ABufferMayGoWhileTheDeviceIsLost) {
  std::unique_ptr<Device> device = kVulkanDriver.open(0);
  auto from = device->allocate(1024, true);
  auto to = device->allocate(1024, false);
  device->run(std::vector<Command>{copy(from, to)});
  const Variable failing("ROTOR_FAULT_WAIT", "0");
  from.reset();  // waits, and that fails
  EXPECT_THROW(device->wait(), DeviceLost);
  to.reset();
  device.reset();
}

TEST_F(VulkanFaultTest, MemoryThatRunsOutIsAnErrorAndNoMore) {
  const auto device = kVulkanDriver.open(0);
  const uint64_t before = device->free_memory();
  {
    const Variable failing("ROTOR_FAULT_ALLOCATE", "1");
    const auto one = device->allocate(5000, false);
    test::expect_error([&] { device->allocate(123456, false); }, {"123456 bytes", "bytes are free"});
  }
  EXPECT_EQ(device->free_memory(), before);
  EXPECT_EQ(device->allocate(123456, false)->size(), 123456U);
}

}  // namespace
}  // namespace rotor::runtime
