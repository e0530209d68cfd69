// Backends on disguised devices (disguised_device.h), for the tests of GPU backends.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>

#include "runtime/backends/backend_check.h"
#include "runtime/backends/cpu/cpu_backend.h"
#include "runtime/backends/gpu/gpu_backend.h"
#include "tests/support/disguised_device.h"

namespace rotor::runtime::gpu {

// GoogleTest would name a test by the bytes of its parameter.
inline void PrintTo(const Driver& driver, std::ostream* out) {
  *out << driver.name;
}

}  // namespace rotor::runtime::gpu

namespace rotor::test {

struct DisguisedBackend {
  DisguisedDevice* device;  ///< the backend's
  std::unique_ptr<runtime::Backend> backend;
};

/// `tuning`: none: the default one of what is shown.
inline DisguisedBackend disguised_backend(const runtime::gpu::Driver& driver,
                                          std::shared_ptr<runtime::gpu::Device> real,
                                          const DisguisedDevice::Change& change = {},
                                          std::optional<runtime::gpu::Tuning> tuning = std::nullopt) {
  auto device = std::make_unique<DisguisedDevice>(std::move(real), change);
  DisguisedBackend made{device.get(), nullptr};
  if (!tuning) tuning = runtime::gpu::default_tuning(device->info());
  made.backend = runtime::gpu::make_gpu_backend(driver.name, std::move(device), tuning);
  return made;
}
/// On the driver's first device.
inline DisguisedBackend disguised_backend(const runtime::gpu::Driver& driver,
                                          const DisguisedDevice::Change& change = {}) {
  return disguised_backend(driver, driver.open(0), change);
}

/// Whether all ops agree with the CPU's, and those that do not.
inline testing::AssertionResult all_pass(runtime::Backend& backend,
                                         runtime::CheckDepth depth = runtime::CheckDepth::full) {
  const auto cpu = runtime::make_cpu_backend(1, false);
  testing::AssertionResult result = testing::AssertionSuccess();
  for (const runtime::BackendOpCheck& check : check_backend(backend, *cpu, depth)) {
    if (check.passed()) continue;
    if (result) result = testing::AssertionFailure();
    result << check.op << ": differs by " << check.difference << ", at most " << check.bound << "\n";
  }
  return result;
}

}  // namespace rotor::test
