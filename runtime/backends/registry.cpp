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

std::unique_ptr<Backend> make_cpu(const Options& options) {
  return make_cpu_backend(options.threads, options.pin);
}

[[maybe_unused]] std::unique_ptr<Backend> make_gpu(const char* api, const Options& options) {
  auto gpu = gpu::open_unless_refused(gpu::driver(api), options.device);
  return gpu != nullptr ? std::move(gpu) : make_cpu(options);
}

constexpr std::array kBackends = {
    Entry{"cpu", make_cpu},
#ifdef ROTOR_HAS_VULKAN
    Entry{"vulkan", [](const Options& options) { return make_gpu("vulkan", options); }},
#endif
#ifdef ROTOR_HAS_OPENCL
    Entry{"opencl", [](const Options& options) { return make_gpu("opencl", options); }},
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
  if (wanted.empty() || wanted == "auto") {
    auto gpu = gpu::open_discrete_gpu();
    return gpu != nullptr ? std::move(gpu) : make_cpu(options);
  }
  std::string names = "auto";
  for (const Entry& entry : kBackends) {
    if (wanted == entry.name) return entry.make(options);
    names += cat(", ", entry.name);
  }
  fail(source, ": expected one of ", names, ", found \"", wanted, "\"");
}

}  // namespace rotor::runtime
