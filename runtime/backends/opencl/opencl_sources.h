// The kernels' sources, embedded by the build (cmake/RotorShaders.cmake), headers put in.
#pragma once

#include <span>

namespace rotor::runtime::gpu {

struct KernelSource {
  const char* name;
  const char* text;
};

std::span<const KernelSource> opencl_sources();

}  // namespace rotor::runtime::gpu
