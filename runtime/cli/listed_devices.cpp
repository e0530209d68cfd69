// What was asked for by name must be there; what was not asked for may be missing.
#include "runtime/cli/listed_devices.h"

#include "rotor/core/error.h"
#include "runtime/backends/gpu/choose.h"

namespace rotor::runtime::cli {
namespace {

ListedBackend all_devices(const gpu::Driver& driver) {
  ListedBackend backend{.name = driver.name, .driver = &driver, .devices = {}, .error = {}};
  try {
    for (const gpu::DeviceInfo& info : driver.list()) {
      backend.devices.push_back({backend.devices.size(), info});
    }
  } catch (const Error& e) {
    backend.error = e.what();
  }
  return backend;
}

}  // namespace

void add_device_options(cxxopts::Options& options) {
  options.add_options()("backend", "only this backend", cxxopts::value<std::string>()->default_value(""))(
      "device", "only this device of the backend: its number, or part of its name",
      cxxopts::value<std::string>()->default_value(""));
}

std::vector<ListedBackend> listed_backends(const cxxopts::ParseResult& parsed) {
  const auto wanted = parsed["backend"].as<std::string>();
  const auto device = parsed["device"].as<std::string>();
  std::vector<ListedBackend> listed;
  std::string names = "cpu";
  if (wanted.empty() || wanted == "cpu") {
    listed.push_back({.name = "cpu", .driver = nullptr, .devices = {}, .error = {}});
  }
  for (const gpu::Driver& driver : gpu::drivers()) {
    names += cat(", ", driver.name);
    if (wanted.empty() || wanted == driver.name) listed.push_back(all_devices(driver));
  }
  if (listed.empty()) fail("--backend: expected one of ", names, ", found \"", wanted, "\"");
  if (wanted.empty()) {
    if (!device.empty()) throw tool::UsageError("--device: expected --backend, too: each numbers its own");
    return listed;
  }
  ListedBackend& backend = listed.front();
  if (backend.is_cpu()) {
    if (!device.empty()) fail("--device: backend cpu has no devices to choose from, found \"", device, "\"");
    return listed;
  }
  const size_t chosen = gpu::choose_device(*backend.driver, device);  // an error if there is none at all
  if (!device.empty()) backend.devices = {backend.devices.at(chosen)};
  return listed;
}

std::string place_text(const ListedBackend& backend, const ListedDevice& device) {
  return cat(backend.name, " ", device.number, " (", tool::printable(device.info.name), ")");
}

OpsReport check_ops(Backend& backend, Backend& reference) {
  OpsReport report;
  for (const BackendOpCheck& check : check_backend(backend, reference, CheckDepth::full)) {
    ++report.ops;
    if (!check.passed()) report.differing.push_back(check);
  }
  return report;
}

std::string difference_text(const BackendOpCheck& check) {
  return cat(check.op, " (off by ", check.difference, " of the largest value, at most ", check.bound, ")");
}

}  // namespace rotor::runtime::cli
