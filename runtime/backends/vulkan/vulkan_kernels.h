// Kernels compiled for a Vulkan device, out of the SPIR-V that the program holds (shaders.h). All share one
// layout: Command::kBindings storage buffers and Command::kParams words of push constants.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "runtime/backends/vulkan/vulkan_features.h"

namespace rotor::runtime::vulkan {

struct VulkanKernel : gpu::Kernel {
  std::string name;  ///< "rms_norm SUBGROUPS=1 (GROUP=64)"
  vk::raii::Pipeline pipeline{nullptr};
};

class Kernels {
 public:
  /// Both must outlive it.
  Kernels(const vk::raii::Device& device, const Features& features);

  /// Compiled at the first call. Throws Error naming the kernel if there is none, or if this device cannot
  /// run it.
  const VulkanKernel& get(const gpu::KernelKey& key);

  vk::DescriptorSetLayout buffers_layout() const { return *buffers_layout_; }
  vk::PipelineLayout layout() const { return *layout_; }

 private:
  const vk::raii::Device& device_;
  const Features& features_;
  vk::raii::DescriptorSetLayout buffers_layout_;
  vk::raii::PipelineLayout layout_;
  std::map<std::string, std::unique_ptr<VulkanKernel>> kernels_;
};

}  // namespace rotor::runtime::vulkan
