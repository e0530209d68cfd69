// Chooses how kernels are shaped for a device by a short measurement, once: the choice is kept in the user's
// cache directory.
#pragma once

#include <string>

#include "runtime/backends/gpu/context.h"

namespace rotor::runtime::gpu {

/// Times kernels in the shapes that a language model of some size needs, over more memory than caches hold,
/// for some seconds at most. Throws Error if there is no room for 64 MiB.
Tuning measure_tuning(Context& context);

/// What the environment variable ROTOR_GPU_TUNING asks for: "measure" now; "default" without measuring; or
/// "NAME=VALUE ..." which changes what it names. Unset: what was measured before on this device and driver,
/// or else now, which is then said on stderr. Throws Error for a variable that cannot be obeyed.
Tuning tuning_for(const std::string& api, Context& context);

/// $XDG_CACHE_HOME/rotor/gpu-tuning.json, or the same in ~/.cache; empty if there is no home.
std::string tuning_cache_path();

}  // namespace rotor::runtime::gpu
