// Which device a backend runs on: `rotor devices`, --device, and the check that a device computes rightly.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/backends/backend.h"
#include "runtime/backends/gpu/device.h"

namespace rotor::runtime::gpu {

/// The driver of that name. Throws Error if the program was built without it.
const Driver& driver(const std::string& api);

/// The index in driver.list() of the device that `wanted` names: its number, or a part of its name in any
/// case; empty: the first GPU, else the first. Throws Error that lists what is there.
size_t choose_device(const Driver& driver, const std::string& wanted);

/// A backend on that device, tuned (tune.h), after it has computed as the CPU does (self_check.h). Throws
/// Error if there is no such device, or if it computes wrongly.
std::unique_ptr<Backend> open_gpu_backend(const std::string& api, const std::string& wanted);

}  // namespace rotor::runtime::gpu
