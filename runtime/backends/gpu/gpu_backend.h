// The ops on a GPU, whatever its API: each becomes commands that wait until a result is wanted, so that all
// of a token is one submission.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "runtime/backends/backend.h"
#include "runtime/backends/gpu/device.h"
#include "runtime/backends/gpu/tuning.h"

namespace rotor::runtime::gpu {

/// `api` is what name() says: "opencl". `tuning`: none: what suits the device (tune.h). Its ops may be called
/// from several threads at once; they take turns.
std::unique_ptr<Backend> make_gpu_backend(const std::string& api, std::unique_ptr<Device> device,
                                          std::optional<Tuning> tuning = std::nullopt);

}  // namespace rotor::runtime::gpu
