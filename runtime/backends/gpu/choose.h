// Which device a backend runs on: --backend, --device, and the check that a device computes rightly.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/backends/backend.h"
#include "runtime/backends/gpu/device.h"

namespace rotor::runtime::gpu {

/// Thrown for a device that computes other results than the CPU does.
class Refused : public Error {
 public:
  using Error::Error;
};

/// The driver of that name. Throws Error if the program was built without it.
const Driver& driver(const std::string& api);

/// The index in driver.list() of the device that `wanted` names: its number, or a part of its name in any
/// case; empty: the first GPU, else the first. Throws Error that lists what is there.
size_t choose_device(const Driver& driver, const std::string& wanted);

/// A backend on that device, tuned (tune.h), once it has computed as the CPU does (backend_check.h). Throws
/// Error if there is no such device, and Refused.
std::unique_ptr<Backend> open_gpu_backend(const Driver& driver, const std::string& wanted);

/// The same, but nullptr for a device that is refused, which is said on stderr: it is not used even if it was
/// asked for.
std::unique_ptr<Backend> open_unless_refused(const Driver& driver, const std::string& wanted);

/// list()[index] of a driver.
struct DevicePlace {
  const Driver* driver = nullptr;
  size_t index = 0;
};

/// What a backend is looked for on where none was asked for: the first discrete GPU of each driver, in their
/// order. Loads no driver on a machine without a device file of a GPU.
std::vector<DevicePlace> discrete_gpus();

/// A backend on the first of discrete_gpus() that runs; nullptr if none does. Why one was refused is said on
/// stderr.
std::unique_ptr<Backend> open_discrete_gpu();

}  // namespace rotor::runtime::gpu
