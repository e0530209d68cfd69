// A feature is there if the device's version of Vulkan has it in its core or names the extension, and if the
// device says that it works.
#include "runtime/backends/vulkan/vulkan_features.h"

#include <algorithm>
#include <set>
#include <string>
#include <string_view>

#include "rotor/core/error.h"

namespace rotor::runtime::vulkan {
namespace {

using gpu::DeviceType;

/// What a device has, by version and by extension.
class Offers {
 public:
  explicit Offers(const vk::raii::PhysicalDevice& device) : version_(device.getProperties().apiVersion) {
    for (const auto& extension : device.enumerateDeviceExtensionProperties()) {
      extensions_.insert(extension.extensionName);
    }
  }
  bool version(uint32_t needed) const { return version_ >= needed; }
  bool extension(const char* name) const { return extensions_.contains(name); }
  bool either(uint32_t needed, const char* name) const { return version(needed) || extension(name); }

 private:
  uint32_t version_;
  std::set<std::string, std::less<>> extensions_;
};

DeviceType type_of(vk::PhysicalDeviceType type) {
  switch (type) {
    case vk::PhysicalDeviceType::eDiscreteGpu:
      return DeviceType::discrete;
    case vk::PhysicalDeviceType::eIntegratedGpu:
      return DeviceType::integrated;
    case vk::PhysicalDeviceType::eCpu:
      return DeviceType::cpu;
    default:
      return DeviceType::other;
  }
}

std::optional<uint32_t> compute_family(const vk::raii::PhysicalDevice& device) {
  const auto families = device.getQueueFamilyProperties();
  const auto computes = [](const vk::QueueFamilyProperties& family) {
    return bool(family.queueFlags & vk::QueueFlagBits::eCompute);
  };
  const auto found = std::ranges::find_if(families, computes);
  if (found == families.end()) return std::nullopt;
  return static_cast<uint32_t>(found - families.begin());
}

uint64_t largest_device_heap(const vk::raii::PhysicalDevice& device) {
  const vk::PhysicalDeviceMemoryProperties memory = device.getMemoryProperties();
  uint64_t largest = 0;
  for (uint32_t i = 0; i < memory.memoryHeapCount; ++i) {
    if (memory.memoryHeaps[i].flags & vk::MemoryHeapFlagBits::eDeviceLocal) {
      largest = std::max<uint64_t>(largest, memory.memoryHeaps[i].size);
    }
  }
  return largest;
}

using Properties = vk::StructureChain<
    vk::PhysicalDeviceProperties2, vk::PhysicalDeviceMaintenance3Properties,
    vk::PhysicalDeviceSubgroupProperties, vk::PhysicalDeviceDriverProperties,
    vk::PhysicalDeviceMaintenance4Properties, vk::PhysicalDeviceShaderIntegerDotProductProperties,
    vk::PhysicalDeviceSubgroupSizeControlProperties, vk::PhysicalDeviceExternalMemoryHostPropertiesEXT>;
using Switches =
    vk::StructureChain<vk::PhysicalDeviceFeatures2, vk::PhysicalDeviceShaderIntegerDotProductFeatures,
                       vk::PhysicalDeviceSubgroupSizeControlFeatures>;

template <class Struct, class Chain>
void ask_if(bool offered, Chain& chain) {
  if (!offered) chain.template unlink<Struct>();
}

struct Offered {
  explicit Offered(const Offers& offers)
      : driver(offers.either(VK_API_VERSION_1_2, VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME)),
        maintenance4(offers.either(VK_API_VERSION_1_3, VK_KHR_MAINTENANCE_4_EXTENSION_NAME)),
        dot_product(offers.either(VK_API_VERSION_1_3, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME)),
        subgroup_sizes(offers.either(VK_API_VERSION_1_3, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME)),
        host_import(offers.extension(VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME)),
        memory_budget(offers.extension(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME)) {}

  bool driver, maintenance4, dot_product, subgroup_sizes, host_import, memory_budget;
};

Properties properties_of(const vk::raii::PhysicalDevice& device, const Offered& offered) {
  Properties chain;
  ask_if<vk::PhysicalDeviceDriverProperties>(offered.driver, chain);
  ask_if<vk::PhysicalDeviceMaintenance4Properties>(offered.maintenance4, chain);
  ask_if<vk::PhysicalDeviceShaderIntegerDotProductProperties>(offered.dot_product, chain);
  ask_if<vk::PhysicalDeviceSubgroupSizeControlProperties>(offered.subgroup_sizes, chain);
  ask_if<vk::PhysicalDeviceExternalMemoryHostPropertiesEXT>(offered.host_import, chain);
  (*device).getProperties2(&chain.get<vk::PhysicalDeviceProperties2>(), *device.getDispatcher());
  return chain;
}

Switches switches_of(const vk::raii::PhysicalDevice& device, const Offered& offered) {
  Switches chain;
  ask_if<vk::PhysicalDeviceShaderIntegerDotProductFeatures>(offered.dot_product, chain);
  ask_if<vk::PhysicalDeviceSubgroupSizeControlFeatures>(offered.subgroup_sizes, chain);
  (*device).getFeatures2(&chain.get<vk::PhysicalDeviceFeatures2>(), *device.getDispatcher());
  return chain;
}

std::string version_text(uint32_t version) {
  return cat(VK_API_VERSION_MAJOR(version), ".", VK_API_VERSION_MINOR(version), ".",
             VK_API_VERSION_PATCH(version));
}

bool can_import(const vk::raii::PhysicalDevice& device) {
  const vk::PhysicalDeviceExternalBufferInfo buffer(
      {}, vk::BufferUsageFlagBits::eStorageBuffer | vk::BufferUsageFlagBits::eTransferSrc,
      vk::ExternalMemoryHandleTypeFlagBits::eHostAllocationEXT);
  const auto properties = device.getExternalBufferProperties(buffer).externalMemoryProperties;
  return bool(properties.externalMemoryFeatures & vk::ExternalMemoryFeatureFlagBits::eImportable);
}

void fill_info(const Properties& properties, gpu::DeviceInfo& info) {
  const vk::PhysicalDeviceProperties& core = properties.get<vk::PhysicalDeviceProperties2>().properties;
  const vk::PhysicalDeviceLimits& limits = core.limits;
  info.name = core.deviceName.data();
  const auto& driver = properties.get<vk::PhysicalDeviceDriverProperties>();
  info.driver = driver.driverName[0] != '\0' ? cat(driver.driverName.data(), " ", driver.driverInfo.data())
                                             : "driver " + version_text(core.driverVersion);
  info.driver += ", Vulkan " + version_text(core.apiVersion);
  info.type = type_of(core.deviceType);
  // Not on a CPU: threads of Mesa's lavapipe block all signals, so a mapped model file that is truncated under
  // them would end the process.
  info.unified_memory = info.type == DeviceType::integrated;
  info.largest_buffer = properties.get<vk::PhysicalDeviceMaintenance3Properties>().maxMemoryAllocationSize;
  const uint64_t most_buffer = properties.get<vk::PhysicalDeviceMaintenance4Properties>().maxBufferSize;
  if (most_buffer > 0) info.largest_buffer = std::min<uint64_t>(info.largest_buffer, most_buffer);
  info.largest_binding = limits.maxStorageBufferRange;
  info.offset_alignment = limits.minStorageBufferOffsetAlignment;
  info.largest_group = std::min(limits.maxComputeWorkGroupInvocations, limits.maxComputeWorkGroupSize[0]);
  info.local_memory = limits.maxComputeSharedMemorySize;
  const auto& subgroups = properties.get<vk::PhysicalDeviceSubgroupProperties>();
  info.subgroup = subgroups.subgroupSize;
  info.subgroup_sums = (subgroups.supportedStages & vk::ShaderStageFlagBits::eCompute) &&
                       (subgroups.supportedOperations & vk::SubgroupFeatureFlagBits::eArithmetic);
}

std::vector<std::string> in_words(const Features& features, const Properties& properties) {
  std::vector<std::string> words;
  const gpu::DeviceInfo& info = features.info;
  if (info.dot_product) words.push_back("integer dot product");
  if (info.subgroup_sums) words.push_back("subgroup sums");
  const auto& sizes = properties.get<vk::PhysicalDeviceSubgroupSizeControlProperties>();
  if (sizes.maxSubgroupSize > sizes.minSubgroupSize) {
    words.push_back(cat("subgroups of ", sizes.minSubgroupSize, " to ", sizes.maxSubgroupSize));
  } else {
    words.push_back(cat("subgroups of ", info.subgroup));
  }
  if (features.full_subgroups) words.push_back("full subgroups");
  if (features.memory_budget) words.push_back("memory budget");
  if (features.host_import) words.push_back("host memory import");
  return words;
}

}  // namespace

std::optional<Features> find_features(const vk::raii::PhysicalDevice& device) {
  const Offers offers(device);
  if (!offers.version(VK_API_VERSION_1_1)) return std::nullopt;
  const std::optional<uint32_t> family = compute_family(device);
  if (!family) return std::nullopt;
  const Offered offered(offers);
  const Properties properties = properties_of(device, offered);
  const vk::PhysicalDeviceLimits& limits = properties.get<vk::PhysicalDeviceProperties2>().properties.limits;
  if (limits.maxPerStageDescriptorStorageBuffers < gpu::Command::kBindings) return std::nullopt;

  Features features;
  fill_info(properties, features.info);
  features.info.memory = largest_device_heap(device);
  features.queue_family = *family;
  features.most_allocations = limits.maxMemoryAllocationCount;
  features.most_groups = limits.maxComputeWorkGroupCount;

  const Switches switches = switches_of(device, offered);
  features.dot_product =
      switches.get<vk::PhysicalDeviceShaderIntegerDotProductFeatures>().shaderIntegerDotProduct;
  features.info.dot_product =
      features.dot_product && properties.get<vk::PhysicalDeviceShaderIntegerDotProductProperties>()
                                  .integerDotProduct4x8BitPackedSignedAccelerated;
  features.full_subgroups =
      switches.get<vk::PhysicalDeviceSubgroupSizeControlFeatures>().computeFullSubgroups;
  features.memory_budget = offered.memory_budget;
  const uint64_t page =
      properties.get<vk::PhysicalDeviceExternalMemoryHostPropertiesEXT>().minImportedHostPointerAlignment;
  features.host_import = page > 0 && 4096 % page == 0 && can_import(device);

  const auto switch_on = [&](bool used, const char* extension) {
    if (used && offers.extension(extension)) features.extensions.push_back(extension);
  };
  switch_on(features.dot_product, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME);
  switch_on(features.full_subgroups, VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME);
  switch_on(features.memory_budget, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
  switch_on(features.host_import, VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME);
  features.info.features = in_words(features, properties);
  return features;
}

vk::raii::Device open_device(const vk::raii::PhysicalDevice& device, const Features& features) {
  const float priority = 1.0F;
  const vk::DeviceQueueCreateInfo queue({}, features.queue_family, 1, &priority);
  vk::StructureChain<vk::DeviceCreateInfo, vk::PhysicalDeviceShaderIntegerDotProductFeatures,
                     vk::PhysicalDeviceSubgroupSizeControlFeatures>
      chain;
  chain.get<vk::DeviceCreateInfo>().setQueueCreateInfos(queue).setPEnabledExtensionNames(features.extensions);
  chain.get<vk::PhysicalDeviceShaderIntegerDotProductFeatures>().shaderIntegerDotProduct = true;
  chain.get<vk::PhysicalDeviceSubgroupSizeControlFeatures>().computeFullSubgroups = true;
  ask_if<vk::PhysicalDeviceShaderIntegerDotProductFeatures>(features.dot_product, chain);
  ask_if<vk::PhysicalDeviceSubgroupSizeControlFeatures>(features.full_subgroups, chain);
  return {device, chain.get<vk::DeviceCreateInfo>()};
}

}  // namespace rotor::runtime::vulkan
