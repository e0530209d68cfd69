// A kernel is found by its variant's name and specialised by its constants: constant i has the number i.
#include "runtime/backends/vulkan/vulkan_kernels.h"

#include <algorithm>
#include <span>

#include "rotor/core/error.h"
#include "runtime/backends/vulkan/shaders.h"

namespace rotor::runtime::vulkan {
namespace {

using gpu::Command;
using gpu::KernelKey;

std::string words(const std::vector<KernelKey::Value>& values, const char* before_each) {
  std::string text;
  for (const KernelKey::Value& value : values) text += cat(before_each, value.name, "=", value.value);
  return text;
}

const Shader& find_shader(const std::string& variant) {
  const std::span<const Shader> all = shaders();
  const auto found = std::ranges::find(all, variant, &Shader::variant);
  if (found == all.end()) {
    fail("Vulkan: this program has no kernel \"", variant, "\", none of the ", all.size(),
         " of runtime/backends/gpu/kernels/variants.txt is called that");
  }
  return *found;
}

// SPIR-V: five words, then instructions, those that name capabilities first. The low half of an instruction's
// first word says which it is.
bool uses_subgroups(std::span<const uint32_t> code) {
  constexpr uint32_t kHeaderWords = 5;
  constexpr uint32_t kOpCapability = 17;
  constexpr uint32_t kGroupNonUniform = 61;
  constexpr uint32_t kGroupNonUniformQuad = 68;
  for (size_t i = kHeaderWords; i + 1 < code.size() && (code[i] & 0xFFFF) == kOpCapability; i += 2) {
    if (code[i + 1] >= kGroupNonUniform && code[i + 1] <= kGroupNonUniformQuad) return true;
  }
  return false;
}

vk::raii::DescriptorSetLayout make_buffers_layout(const vk::raii::Device& device) {
  std::array<vk::DescriptorSetLayoutBinding, Command::kBindings> bindings;
  for (uint32_t i = 0; i < bindings.size(); ++i) {
    bindings[i] = {i, vk::DescriptorType::eStorageBuffer, 1, vk::ShaderStageFlagBits::eCompute};
  }
  return {device, vk::DescriptorSetLayoutCreateInfo({}, bindings)};
}

vk::raii::PipelineLayout make_layout(const vk::raii::Device& device, vk::DescriptorSetLayout buffers) {
  const vk::PushConstantRange params(vk::ShaderStageFlagBits::eCompute, 0,
                                     Command::kParams * sizeof(uint32_t));
  return {device, vk::PipelineLayoutCreateInfo({}, buffers, params)};
}

}  // namespace

Kernels::Kernels(const vk::raii::Device& device, const Features& features)
    : device_(device),
      features_(features),
      buffers_layout_(make_buffers_layout(device)),
      layout_(make_layout(device, *buffers_layout_)) {}

const VulkanKernel& Kernels::get(const KernelKey& key) {
  const std::string variant = key.name + words(key.defines, " ");
  const std::string name = cat(variant, " (", words(key.constants, " "), " )");
  const auto known = kernels_.find(name);
  if (known != kernels_.end()) return *known->second;

  const Shader& shader = find_shader(variant);
  const gpu::DeviceInfo& info = features_.info;
  const auto refuse = [&](const auto&... why) {
    fail("Vulkan device ", info.name, ": kernel ", name, ": ", why...);
  };
  if (key.constants.empty()) refuse("expected the constant GROUP, found none");
  const uint32_t group = key.constants[0].value;
  if (group < 1 || group > info.largest_group) {
    refuse("expected 1 to ", info.largest_group, " work items a group");
  }
  const bool subgroups = uses_subgroups(shader.code);
  if (subgroups && !info.subgroup_sums) refuse("the device has no sums over subgroups");

  std::vector<vk::SpecializationMapEntry> entries;
  std::vector<uint32_t> values;
  for (const KernelKey::Value& constant : key.constants) {
    const auto number = static_cast<uint32_t>(values.size());
    entries.emplace_back(number, number * sizeof(uint32_t), sizeof(uint32_t));
    values.push_back(constant.value);
  }
  const vk::raii::ShaderModule module(
      device_, vk::ShaderModuleCreateInfo({}, shader.code.size_bytes(), shader.code.data()));
  const vk::SpecializationInfo constants(static_cast<uint32_t>(entries.size()), entries.data(),
                                         values.size() * sizeof(uint32_t), values.data());
  vk::PipelineShaderStageCreateInfo stage({}, vk::ShaderStageFlagBits::eCompute, *module, "main", &constants);
  // Without this a driver may leave work items of a subgroup idle, and make more subgroups.
  if (subgroups && features_.full_subgroups && group % info.subgroup == 0) {
    stage.flags = vk::PipelineShaderStageCreateFlagBits::eRequireFullSubgroups;
  }
  auto kernel = std::make_unique<VulkanKernel>();
  kernel->name = name;
  kernel->pipeline = {device_, nullptr, vk::ComputePipelineCreateInfo({}, stage, *layout_)};
  return *kernels_.emplace(name, std::move(kernel)).first->second;
}

}  // namespace rotor::runtime::vulkan
