// --backend and --device of the commands that look at devices one by one instead of running a model on the
// best of them: which ones that leaves.
#pragma once

#include <string>
#include <vector>

#include "rotor/tool/options.h"
#include "runtime/backends/backend_check.h"
#include "runtime/backends/gpu/device.h"

namespace rotor::runtime::cli {

struct ListedDevice {
  size_t number = 0;  ///< what --device takes
  gpu::DeviceInfo info;
};

struct ListedBackend {
  std::string name;                     ///< "cpu", "vulkan"
  const gpu::Driver* driver = nullptr;  ///< none: the cpu, which has no devices
  std::vector<ListedDevice> devices;
  std::string error;  ///< what is broken on the way to devices; empty where a driver just has none

  bool is_cpu() const { return driver == nullptr; }
};

void add_device_options(cxxopts::Options& options);
/// The backends of this program, or the one that was asked for, with its devices, or the one that was. Throws
/// Error if there is none such.
std::vector<ListedBackend> listed_backends(const cxxopts::ParseResult& parsed);

/// "vulkan 0 (NAME)".
std::string place_text(const ListedBackend& backend, const ListedDevice& device);

/// All ops of a backend (CheckDepth::full) against the reference's.
struct OpsReport {
  size_t ops = 0;
  std::vector<BackendOpCheck> differing;
};
OpsReport check_ops(Backend& backend, Backend& reference);
/// "OP (off by 0.31 of the largest value, at most 4e-06)".
std::string difference_text(const BackendOpCheck& check);

}  // namespace rotor::runtime::cli
