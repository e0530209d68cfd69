// A device is opened once and checked before anything runs on it.
#include "runtime/backends/gpu/choose.h"

#include <algorithm>
#include <cctype>
#include <charconv>

#include "rotor/core/error.h"
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

std::unique_ptr<Backend> open_gpu_backend(const std::string& api, const std::string& wanted) {
  const Driver& known = driver(api);
  auto device = known.open(choose_device(known, wanted));
  const Tuning tuning = default_tuning(device->info());
  return make_gpu_backend(api, std::move(device), tuning);
}

}  // namespace rotor::runtime::gpu
