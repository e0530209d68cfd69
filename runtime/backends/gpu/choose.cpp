// A device is opened once and checked before anything runs on it.
#include "runtime/backends/gpu/choose.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <filesystem>

#include "rotor/core/error.h"
#include "rotor/formats/mapped_file.h"
#include "runtime/backends/backend_check.h"
#include "runtime/backends/cpu/cpu_backend.h"
#include "runtime/backends/gpu/gpu_backend.h"

namespace rotor::runtime::gpu {
namespace {

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

/// 0: a GPU, 1: some accelerator, 2: a CPU in disguise.
int rank(const DeviceInfo& info) {
  switch (info.type) {
    case DeviceType::discrete:
    case DeviceType::integrated:
      return 0;
    case DeviceType::other:
      return 1;
    case DeviceType::cpu:
      return 2;
  }
  return 2;
}

/// Whether the kernel shows a graphics device at all.
bool has_gpu_file() {
  for (const char* directory : {"/dev/dri", "/dev"}) {
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(directory, none)) {
      const std::string name = entry.path().filename();
      if (name.starts_with("renderD") || name == "nvidia0" || name == "kfd" || name == "dxg") return true;
    }
  }
  return false;
}

std::unique_ptr<Backend> open_checked(const Driver& driver, size_t index) {
  auto backend = make_gpu_backend(driver.name, driver.open(index));
  const auto reference = make_cpu_backend(1, false);
  const auto checks = check_backend(*backend, *reference, CheckDepth::quick);
  watch_for_truncation();  // drivers that compile bring handlers of their own
  for (const BackendOpCheck& check : checks) {
    if (check.passed()) continue;
    throw Refused(cat("backend ", driver.name, ": ", backend->device(), " is refused: \"", check.op,
                      "\" differs from the CPU's by ", check.difference,
                      " of the largest value, expected at most ", check.bound,
                      "; `rotor doctor` tells more"));
  }
  return backend;
}

}  // namespace

const Driver& driver(const std::string& api) {
  for (const Driver& known : drivers()) {
    if (api == known.name) return known;
  }
  fail("backend ", api, ": this program was built without it");
}

size_t choose_device(const Driver& driver, const std::string& wanted) {
  const std::vector<DeviceInfo> infos = driver.list();
  if (infos.empty()) {
    fail("backend ", driver.name,
         ": no device on this machine (no driver, or it found none); `rotor devices` lists all");
  }
  if (wanted.empty()) {
    return static_cast<size_t>(std::ranges::min_element(infos, {}, rank) - infos.begin());
  }
  size_t index = 0;
  const auto read = std::from_chars(wanted.data(), wanted.data() + wanted.size(), index);
  const bool number = read.ec == std::errc() && read.ptr == wanted.data() + wanted.size();
  std::string there;
  for (size_t i = 0; i < infos.size(); ++i) {
    if (number ? i == index : lower(infos[i].name).find(lower(wanted)) != std::string::npos) return i;
    there += cat(i == 0 ? "" : ", ", i, ": ", infos[i].name);
  }
  fail("--device: backend ", driver.name, ": expected a number or a part of a name of ", there, "; found \"",
       wanted, "\"");
}

std::unique_ptr<Backend> open_gpu_backend(const Driver& driver, const std::string& wanted) {
  return open_checked(driver, choose_device(driver, wanted));
}

std::unique_ptr<Backend> open_unless_refused(const Driver& driver, const std::string& wanted) {
  try {
    return open_gpu_backend(driver, wanted);
  } catch (const Refused& e) {
    std::fprintf(stderr, "%s. The CPU takes over.\n", e.what());
    return nullptr;
  }
}

std::vector<DevicePlace> discrete_gpus() {
  std::vector<DevicePlace> places;
  if (!has_gpu_file()) return places;
  for (const Driver& driver : drivers()) {
    try {
      const std::vector<DeviceInfo> infos = driver.list();
      const auto found = std::ranges::find(infos, DeviceType::discrete, &DeviceInfo::type);
      if (found != infos.end()) places.push_back({&driver, static_cast<size_t>(found - infos.begin())});
    } catch (const Error& e) {
      std::fprintf(stderr, "%s\n", e.what());
    }
  }
  watch_for_truncation();
  return places;
}

std::unique_ptr<Backend> open_discrete_gpu() {
  for (const auto& [driver, index] : discrete_gpus()) {
    try {
      return open_checked(*driver, index);
    } catch (const Error& e) {
      std::fprintf(stderr, "%s\n", e.what());
    }
  }
  return nullptr;
}

}  // namespace rotor::runtime::gpu
