// The kernels as SPIR-V, as the build made them from gpu/kernels/variants.txt (cmake/RotorShaders.cmake).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace rotor::runtime::vulkan {

struct Shader {
  std::string_view variant;  ///< "rms_norm SUBGROUPS=1": the file's name, then its defines in their order
  std::span<const uint32_t> code;
};

std::span<const Shader> shaders();

}  // namespace rotor::runtime::vulkan
