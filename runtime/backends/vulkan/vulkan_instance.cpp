// No library or no driver means no devices; only what is asked for and missing is an error.
#include "runtime/backends/vulkan/vulkan_instance.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string_view>
#include <utility>

#include "rotor/core/error.h"

namespace rotor::runtime::vulkan {
namespace {

constexpr const char* kLayer = "VK_LAYER_KHRONOS_validation";

bool validation_wanted() {
  const char* value = std::getenv("ROTOR_VULKAN_VALIDATION");
  return value != nullptr && std::string_view(value) != "" && std::string_view(value) != "0";
}

VKAPI_ATTR VkBool32 VKAPI_CALL heard(VkDebugUtilsMessageSeverityFlagBitsEXT, VkDebugUtilsMessageTypeFlagsEXT,
                                     const VkDebugUtilsMessengerCallbackDataEXT* data, void* messages) {
  static_cast<Messages*>(messages)->add(data->pMessage);
  return VK_FALSE;
}

// Of the layer, not of the loader, which speaks of drivers that are no concern of ours.
VkDebugUtilsMessengerCreateInfoEXT messenger_for(Messages& messages) {
  VkDebugUtilsMessengerCreateInfoEXT info{};
  info.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT;
  info.messageSeverity =
      VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
  info.messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT;
  info.pfnUserCallback = heard;
  info.pUserData = &messages;
  return info;
}

void require_layer(const vk::raii::Context& context) {
  const auto layers = context.enumerateInstanceLayerProperties();
  const auto is_wanted = [](const vk::LayerProperties& layer) {
    return std::strcmp(layer.layerName, kLayer) == 0;
  };
  if (std::ranges::none_of(layers, is_wanted)) {
    fail("ROTOR_VULKAN_VALIDATION is set, but ", kLayer,
         " is not installed; Debian's package vulkan-validationlayers brings it");
  }
}

}  // namespace

void Messages::add(const char* message) {
  const std::lock_guard lock(mutex_);
  std::cerr << "Vulkan validation: " << message << std::endl;
  said_ += said_.empty() ? "" : "\n";
  said_ += message;
}

void Messages::throw_any() {
  const std::lock_guard lock(mutex_);
  if (!said_.empty()) fail("Vulkan validation: ", std::exchange(said_, ""));
}

std::unique_ptr<Instance> Instance::load() {
  std::unique_ptr<Instance> loaded;
  try {
    loaded.reset(new Instance);
  } catch (const std::runtime_error&) {
    return nullptr;  // no library
  }
  if (loaded->context_.enumerateInstanceVersion() < VK_API_VERSION_1_1) return nullptr;

  vk::ApplicationInfo application("rotor", 1, nullptr, 0, VK_API_VERSION_1_3);
  vk::InstanceCreateInfo info({}, &application);
  const char* extensions[] = {VK_EXT_DEBUG_UTILS_EXTENSION_NAME, VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME};
  const vk::ValidationFeatureEnableEXT checks[] = {
      vk::ValidationFeatureEnableEXT::eSynchronizationValidation};
  // Given along with the instance as well, so that its making and its end are watched, too.
  const VkDebugUtilsMessengerCreateInfoEXT messenger = messenger_for(*loaded->messages_);
  vk::ValidationFeaturesEXT features(checks, {}, &messenger);
  if (validation_wanted()) {
    require_layer(loaded->context_);
    info.setPEnabledLayerNames(kLayer).setPEnabledExtensionNames(extensions).setPNext(&features);
  }
  try {
    loaded->instance_ = vk::raii::Instance(loaded->context_, info);
  } catch (const vk::IncompatibleDriverError&) {
    return nullptr;  // no driver
  }
  if (validation_wanted()) loaded->messenger_ = {loaded->instance_, messenger};
  return loaded;
}

}  // namespace rotor::runtime::vulkan
