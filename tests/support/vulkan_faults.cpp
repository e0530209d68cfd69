// A Vulkan layer that makes a driver behave worse, so that tests see what becomes of it. Calls fail after as
// many as stand in the environment's ROTOR_FAULT_SUBMIT and ROTOR_FAULT_WAIT (device lost) and
// ROTOR_FAULT_ALLOCATE (out of device memory); kernels recorded after ROTOR_FAULT_DISPATCH others compute
// nothing; with ROTOR_FAULT_UNCACHED no memory is cached by the processor, as on the far side of a bus.
#include <vulkan/vk_layer.h>

#include <cstdlib>
#include <cstring>
#include <string>

namespace {

PFN_vkGetInstanceProcAddr next_instance_proc = nullptr;
PFN_vkGetPhysicalDeviceMemoryProperties next_memory_properties = nullptr;
PFN_vkGetDeviceProcAddr next_device_proc = nullptr;
VkInstance instance_made = VK_NULL_HANDLE;
VkDevice device_made = VK_NULL_HANDLE;  // tests open one at a time

/// Whether this call fails; counts the variable down.
bool fails(const char* variable) {
  const char* value = std::getenv(variable);
  if (value == nullptr) return false;
  const long left = std::strtol(value, nullptr, 10);
  if (left <= 0) return true;
  setenv(variable, std::to_string(left - 1).c_str(), 1);
  return false;
}

template <class Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(next_device_proc(device_made, name));
}

VKAPI_ATTR VkResult VKAPI_CALL queue_submit(VkQueue queue, uint32_t count, const VkSubmitInfo* submits,
                                            VkFence fence) {
  if (fails("ROTOR_FAULT_SUBMIT")) return VK_ERROR_DEVICE_LOST;
  return next<PFN_vkQueueSubmit>("vkQueueSubmit")(queue, count, submits, fence);
}

VKAPI_ATTR VkResult VKAPI_CALL wait_for_fences(VkDevice device, uint32_t count, const VkFence* fences,
                                               VkBool32 all, uint64_t timeout) {
  const VkResult result = next<PFN_vkWaitForFences>("vkWaitForFences")(device, count, fences, all, timeout);
  return fails("ROTOR_FAULT_WAIT") ? VK_ERROR_DEVICE_LOST : result;
}

VKAPI_ATTR VkResult VKAPI_CALL allocate_memory(VkDevice device, const VkMemoryAllocateInfo* info,
                                               const VkAllocationCallbacks* allocator,
                                               VkDeviceMemory* memory) {
  if (fails("ROTOR_FAULT_ALLOCATE")) return VK_ERROR_OUT_OF_DEVICE_MEMORY;
  return next<PFN_vkAllocateMemory>("vkAllocateMemory")(device, info, allocator, memory);
}

VKAPI_ATTR void VKAPI_CALL dispatch(VkCommandBuffer commands, uint32_t x, uint32_t y, uint32_t z) {
  if (fails("ROTOR_FAULT_DISPATCH")) return;
  next<PFN_vkCmdDispatch>("vkCmdDispatch")(commands, x, y, z);
}

VKAPI_ATTR void VKAPI_CALL memory_properties(VkPhysicalDevice physical,
                                             VkPhysicalDeviceMemoryProperties* properties) {
  next_memory_properties(physical, properties);
  if (std::getenv("ROTOR_FAULT_UNCACHED") == nullptr) return;
  for (VkMemoryType& type : properties->memoryTypes)
    type.propertyFlags &= ~VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
}

/// The link of the chain of layers that is ours, among what a vkCreate call was given.
template <class Link>
Link* link_of(const void* chain, VkStructureType type) {
  for (auto* at = static_cast<const VkBaseInStructure*>(chain); at != nullptr; at = at->pNext) {
    auto* link = reinterpret_cast<Link*>(const_cast<VkBaseInStructure*>(at));
    if (at->sType == type && link->function == VK_LAYER_LINK_INFO) return link;
  }
  std::abort();
}

VKAPI_ATTR VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo* info,
                                               const VkAllocationCallbacks* allocator, VkInstance* instance) {
  auto* link = link_of<VkLayerInstanceCreateInfo>(info->pNext, VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO);
  next_instance_proc = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
  link->u.pLayerInfo = link->u.pLayerInfo->pNext;
  const auto create =
      reinterpret_cast<PFN_vkCreateInstance>(next_instance_proc(VK_NULL_HANDLE, "vkCreateInstance"));
  const VkResult result = create(info, allocator, instance);
  if (result != VK_SUCCESS) return result;
  instance_made = *instance;
  // Now: once the instance is whole, the loader answers with the first of all layers.
  next_memory_properties = reinterpret_cast<PFN_vkGetPhysicalDeviceMemoryProperties>(
      next_instance_proc(*instance, "vkGetPhysicalDeviceMemoryProperties"));
  return result;
}

VKAPI_ATTR VkResult VKAPI_CALL create_device(VkPhysicalDevice physical, const VkDeviceCreateInfo* info,
                                             const VkAllocationCallbacks* allocator, VkDevice* device) {
  auto* link = link_of<VkLayerDeviceCreateInfo>(info->pNext, VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO);
  next_device_proc = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
  const auto create =
      reinterpret_cast<PFN_vkCreateDevice>(next_instance_proc(instance_made, "vkCreateDevice"));
  link->u.pLayerInfo = link->u.pLayerInfo->pNext;
  const VkResult result = create(physical, info, allocator, device);
  device_made = *device;
  return result;
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL device_proc(VkDevice device, const char* name);
VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL instance_proc(VkInstance instance, const char* name);

PFN_vkVoidFunction own(const char* name) {
  const struct {
    const char* name;
    PFN_vkVoidFunction function;
  } functions[] = {
      {"vkQueueSubmit", reinterpret_cast<PFN_vkVoidFunction>(queue_submit)},
      {"vkWaitForFences", reinterpret_cast<PFN_vkVoidFunction>(wait_for_fences)},
      {"vkCmdDispatch", reinterpret_cast<PFN_vkVoidFunction>(dispatch)},
      {"vkAllocateMemory", reinterpret_cast<PFN_vkVoidFunction>(allocate_memory)},
      {"vkGetPhysicalDeviceMemoryProperties", reinterpret_cast<PFN_vkVoidFunction>(memory_properties)},
      {"vkCreateInstance", reinterpret_cast<PFN_vkVoidFunction>(create_instance)},
      {"vkCreateDevice", reinterpret_cast<PFN_vkVoidFunction>(create_device)},
      {"vkGetDeviceProcAddr", reinterpret_cast<PFN_vkVoidFunction>(device_proc)},
      {"vkGetInstanceProcAddr", reinterpret_cast<PFN_vkVoidFunction>(instance_proc)},
  };
  for (const auto& entry : functions) {
    if (std::strcmp(entry.name, name) == 0) return entry.function;
  }
  return nullptr;
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL device_proc(VkDevice device, const char* name) {
  const PFN_vkVoidFunction function = own(name);
  return function != nullptr ? function : next_device_proc(device, name);
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL instance_proc(VkInstance instance, const char* name) {
  const PFN_vkVoidFunction function = own(name);
  return function != nullptr ? function : next_instance_proc(instance, name);
}

}  // namespace

extern "C" VK_LAYER_EXPORT VKAPI_ATTR VkResult VKAPI_CALL
vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface* negotiated) {
  negotiated->loaderLayerInterfaceVersion = 2;
  negotiated->pfnGetInstanceProcAddr = instance_proc;
  negotiated->pfnGetDeviceProcAddr = device_proc;
  negotiated->pfnGetPhysicalDeviceProcAddr = nullptr;
  return VK_SUCCESS;
}
