// The registry of backends: one line each.
#include <array>
#include <cstdlib>

#include "rotor/core/error.h"
#include "runtime/backends/backend.h"
#include "runtime/backends/cpu/cpu_backend.h"
#include "runtime/backends/gpu/choose.h"

namespace rotor::runtime {
namespace {

struct Options {
  int64_t threads;
  bool pin;
  std::string device;
};

struct Entry {
  const char* name;
  std::unique_ptr<Backend> (*make)(const Options& options);
};

constexpr std::array kBackends = {
    Entry{"cpu", [](const Options& o) { return make_cpu_backend(o.threads, o.pin); }},
#ifdef ROTOR_HAS_VULKAN
    Entry{"vulkan", [](const Options& o) { return gpu::open_gpu_backend("vulkan", o.device); }},
#endif
#ifdef ROTOR_HAS_OPENCL
    Entry{"opencl", [](const Options& o) { return gpu::open_gpu_backend("opencl", o.device); }},
#endif
};

}  // namespace

std::vector<std::string> backend_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kBackends) names.emplace_back(entry.name);
  return names;
}

std::unique_ptr<Backend> make_backend(const std::string& name, int64_t threads, bool pin,
                                      const std::string& device) {
  const Options options{threads, pin, device};
  std::string wanted = name;
  std::string source = "--backend";
  if (const char* forced = std::getenv("ROTOR_BACKEND"); wanted.empty() && forced != nullptr) {
    wanted = forced;
    source = "ROTOR_BACKEND";
  }
  if (wanted.empty()) return kBackends.front().make(options);
  std::string names;
  for (const Entry& entry : kBackends) {
    if (wanted == entry.name) return entry.make(options);
    names += cat(names.empty() ? "" : ", ", entry.name);
  }
  fail(source, ": expected one of ", names, ", found \"", wanted, "\"");
}

}  // namespace rotor::runtime
