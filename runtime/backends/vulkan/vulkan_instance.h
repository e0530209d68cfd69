// The Vulkan library, an instance of it, and what its validation layer says.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>
#include <vulkan/vulkan_raii.hpp>

namespace rotor::runtime::vulkan {

/// What the validation layer said. It may speak in any thread.
class Messages {
 public:
  /// Prints it, and keeps it for throw_any().
  void add(const char* message);
  /// Throws Error with what was said since the last call, if anything was.
  void throw_any();

 private:
  std::mutex mutex_;
  std::string said_;
};

class Instance {
 public:
  /// nullptr if there is no Vulkan on this machine, or no driver. Throws Error if validation is wanted
  /// (ROTOR_VULKAN_VALIDATION=1) and its layer is missing.
  static std::unique_ptr<Instance> load();

  std::vector<vk::raii::PhysicalDevice> devices() const { return instance_.enumeratePhysicalDevices(); }
  Messages& messages() { return *messages_; }

 private:
  Instance() = default;

  vk::raii::Context context_;  // throws std::runtime_error if there is no library
  std::unique_ptr<Messages> messages_ = std::make_unique<Messages>();
  vk::raii::Instance instance_{nullptr};
  vk::raii::DebugUtilsMessengerEXT messenger_{nullptr};
};

}  // namespace rotor::runtime::vulkan
