// The registry of backends: one line each.
#include <array>
#include <cstdlib>

#include "rotor/core/error.h"
#include "runtime/backends/backend.h"
#include "runtime/backends/cpu/cpu_backend.h"

namespace rotor::runtime {
namespace {

struct Entry {
  const char* name;
  std::unique_ptr<Backend> (*make)(int64_t threads, bool pin, const std::string& device);
};

std::unique_ptr<Backend> make_cpu(int64_t threads, bool pin, const std::string&) {
  return make_cpu_backend(threads, pin);
}

constexpr std::array kBackends = {
    Entry{"cpu", make_cpu},
};

}  // namespace

std::vector<std::string> backend_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kBackends) names.emplace_back(entry.name);
  return names;
}

std::unique_ptr<Backend> make_backend(const std::string& name, int64_t threads, bool pin,
                                      const std::string& device) {
  std::string wanted = name;
  std::string source = "--backend";
  if (const char* forced = std::getenv("ROTOR_BACKEND"); wanted.empty() && forced != nullptr) {
    wanted = forced;
    source = "ROTOR_BACKEND";
  }
  if (wanted.empty()) return kBackends.front().make(threads, pin, device);
  std::string names;
  for (const Entry& entry : kBackends) {
    if (wanted == entry.name) return entry.make(threads, pin, device);
    names += cat(names.empty() ? "" : ", ", entry.name);
  }
  fail(source, ": expected one of ", names, ", found \"", wanted, "\"");
}

}  // namespace rotor::runtime
