// rotor devices: what this machine has to run models on.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <optional>
#include <sstream>
#include <thread>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/kernels/kernels.h"
#include "rotor/tool/progress.h"
#include "runtime/backends/cpu/cpu_backend.h"
#include "runtime/backends/gpu/choose.h"
#include "runtime/backends/gpu/context.h"
#include "runtime/backends/gpu/gpu_backend.h"
#include "runtime/backends/gpu/tune.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/listed_devices.h"

namespace rotor::runtime::cli {
namespace {

constexpr const char* kDevicesExamples =
    "  rotor devices                                 what is here, and which one models run on\n"
    "  rotor devices --check                         whether each computes what the CPU does\n"
    "  rotor devices --tune --backend vulkan         measure again which kernels suit the devices of one "
    "backend\n"
    "  rotor run model.rotor -p Once --backend vulkan --device 0\n";

/// The value of "KEY : value" lines, as in /proc/cpuinfo and /proc/meminfo.
std::optional<std::string> proc_value(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    const size_t value = line.find_first_not_of(" \t:", key.size());
    if (value != std::string::npos) return line.substr(value);
  }
  return std::nullopt;
}

/// "MemTotal: 16 kB" in bytes; null where the kernel does not say.
Json memory_bytes(const std::string& key) {
  const auto text = proc_value("/proc/meminfo", key);
  return text ? Json(1024 * std::strtoull(text->c_str(), nullptr, 10)) : Json(nullptr);
}

Json describe_cpu() {
  Json features = Json::array();
  for (const kernels::RegisteredSet& entry : kernels::registered_sets()) {
    if (entry.set->supported()) features.push_back(entry.set->name);
  }
  return {{"device", nullptr},
          {"name", proc_value("/proc/cpuinfo", "model name").value_or("processor")},
          {"type", gpu::name(gpu::DeviceType::cpu)},
          {"driver", nullptr},
          {"memory_bytes", memory_bytes("MemTotal")},
          {"free_bytes", memory_bytes("MemAvailable")},
          {"subgroup", nullptr},
          {"features", features},
          {"kernels", make_cpu_backend(1, false)->kernels()},
          {"threads", std::max(1U, std::thread::hardware_concurrency())}};
}

Json describe(const ListedDevice& device) {
  const gpu::DeviceInfo& info = device.info;
  return {{"device", device.number},
          {"name", info.name},
          {"type", gpu::name(info.type)},
          {"driver", info.driver},
          {"memory_bytes", info.memory},
          {"free_bytes", nullptr},
          {"subgroup", info.subgroup == 0 ? Json(nullptr) : Json(info.subgroup)},
          {"features", info.features}};
}

struct Wishes {
  bool tune = false;
  bool check = false;
};

/// Opens the device and does with it what is wished for. Returns whether it is fit for use.
bool examine(const ListedBackend& backend, const ListedDevice& listed, const Wishes& wishes, Json& json) {
  try {
    auto device = backend.driver->open(listed.number);
    json["free_bytes"] = device->free_memory();
    std::optional<gpu::Tuning> tuning;
    if (wishes.tune) {
      gpu::Context context(*device, gpu::default_tuning(device->info()));
      tuning = gpu::tuning_for(backend.name, context);
      json["tuning"] = gpu::to_text(*tuning);
    }
    if (!wishes.check) return true;
    const auto made = gpu::make_gpu_backend(backend.name, std::move(device), tuning);
    const OpsReport report = check_ops(*made, *make_cpu_backend(1, false));
    Json differing = Json::array();
    for (const BackendOpCheck& check : report.differing) {
      differing.push_back({{"op", check.op}, {"difference", check.difference}, {"bound", check.bound}});
    }
    json["check"] = {{"ops", report.ops}, {"differing", differing}};
    json["kernels"] = made->kernels();
    return report.differing.empty();
  } catch (const Error& e) {
    json["error"] = e.what();
    return false;
  }
}

std::string bytes_text(const Json& bytes) {
  return bytes.is_null() ? "unknown" : tool::bytes_text(bytes.get<double>());
}

std::string joined(const Json& texts) {
  std::string all;
  for (const Json& text : texts) all += cat(all.empty() ? "" : ", ", text.get<std::string>());
  return tool::printable(all);
}

void print_device(const std::string& backend, const Json& json) {
  const auto text = [&](const char* key) { return tool::printable(json.at(key).get<std::string>()); };
  const bool is_cpu = json.at("device").is_null();
  std::printf("%s: %s\n", (is_cpu ? backend : cat(backend, " ", json.at("device"))).c_str(),
              text("name").c_str());
  const std::string driver =
      is_cpu ? cat(tool::count_text(json.at("threads"), "thread"), ", kernels ", text("kernels"))
             : text("driver");
  std::printf("  %s, %s; memory %s, of which %s free\n", text("type").c_str(), driver.c_str(),
              bytes_text(json.at("memory_bytes")).c_str(), bytes_text(json.at("free_bytes")).c_str());
  if (!json.at("features").empty()) std::printf("  %s\n", joined(json.at("features")).c_str());
  if (json.contains("tuning")) std::printf("  tuned: %s\n", text("tuning").c_str());
  if (json.contains("check")) {
    const Json& differing = json.at("check").at("differing");
    const auto ops = json.at("check").at("ops").get<size_t>();
    std::printf("  %zu of %zu ops compute what the CPU does\n", ops - differing.size(), ops);
    for (const Json& op : differing) {
      std::printf("  DIFFERS: %s\n",
                  difference_text({op.at("op"), op.at("difference"), op.at("bound")}).c_str());
    }
  }
  if (json.contains("error")) std::printf("  CANNOT BE USED: %s\n", text("error").c_str());
}

void print(const Json& backends) {
  for (const Json& backend : backends) {
    const auto name = backend.at("backend").get<std::string>();
    if (backend.contains("error")) {
      std::printf("%s: %s\n", name.c_str(), tool::printable(backend.at("error").get<std::string>()).c_str());
    } else if (backend.at("devices").empty()) {
      std::printf("%s: no device\n", name.c_str());
    }
    for (const Json& device : backend.at("devices")) {
      print_device(name, device);
      if (device.at("auto").get<bool>()) std::printf("  --backend auto, the default, takes this one\n");
    }
  }
}

}  // namespace

int devices(int argc, char** argv) {
  cxxopts::Options options(
      "rotor devices",
      "Lists what this machine has to run models on: the backends of this program and their devices,\n"
      "by the numbers that --device takes, with type, driver, memory and what they can do.");
  add_device_options(options);
  options.add_options()("tune", "measure again which kernels suit each device, and keep the choice")(
      "check", "hold every op of each device against the CPU; exit status 1 if one differs")("json",
                                                                                             "print JSON");
  const auto parsed = tool::parse_options(options, argc, argv, {}, kDevicesExamples);
  if (!parsed) return 0;
  const Wishes wishes{.tune = parsed->count("tune") != 0, .check = parsed->count("check") != 0};
  if (wishes.tune) setenv("ROTOR_GPU_TUNING", "measure", 1);

  // The first of these that is fit for use; one that was not looked at may be.
  std::vector<gpu::DevicePlace> favoured = gpu::discrete_gpus();
  const std::vector<ListedBackend> listed = listed_backends(*parsed);
  Json json = Json::array();
  bool sound = true;
  for (const ListedBackend& backend : listed) {
    json.push_back({{"backend", backend.name}, {"devices", Json::array()}});
    if (!backend.error.empty()) json.back()["error"] = backend.error;
    if (backend.is_cpu()) json.back()["devices"].push_back(describe_cpu());
    for (const ListedDevice& device : backend.devices) {
      Json& described = json.back()["devices"].emplace_back(describe(device));
      if (examine(backend, device, wishes, described)) continue;
      sound = false;
      std::erase_if(favoured, [&](const gpu::DevicePlace& place) {
        return place.driver->name == backend.name && place.index == device.number;
      });
    }
    if (!backend.error.empty()) sound = false;
  }
  for (Json& backend : json) {
    for (Json& device : backend["devices"]) {
      device["auto"] = favoured.empty() ? device["device"].is_null()
                                        : backend["backend"] == favoured.front().driver->name &&
                                              device["device"] == favoured.front().index;
    }
  }
  if (parsed->count("json") != 0) {
    std::printf("%s\n", dump_json({{"backends", json}}, 2).c_str());
  } else {
    print(json);
  }
  return sound || !(wishes.tune || wishes.check) ? 0 : 1;
}

}  // namespace rotor::runtime::cli
