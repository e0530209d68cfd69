// rotor doctor: whether what runs on this machine computes what it should.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <utility>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/kernels/self_check.h"
#include "rotor/tool/options.h"
#include "rotor/tool/progress.h"
#include "runtime/backends/cpu/cpu_backend.h"
#include "runtime/backends/gpu/gpu_backend.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/golden_model/golden_model.h"
#include "runtime/cli/listed_devices.h"
#include "runtime/cli/model_checks.h"
#include "runtime/engine/language_model.h"

namespace rotor::runtime::cli {
namespace {

constexpr const char* kDoctorExamples =
    "  rotor doctor                    every kernel set and device of this machine, with two small models\n"
    "  rotor doctor model.rotor        the same with a model of yours; the reference is slow\n"
    "  rotor doctor --backend vulkan --device 0\n";

/// The CPU with these kernels.
std::unique_ptr<Backend> cpu_with(const std::string& kernels) {
  const char* before = std::getenv("ROTOR_KERNELS");
  const std::optional<std::string> restored =
      before == nullptr ? std::nullopt : std::optional<std::string>(before);
  setenv("ROTOR_KERNELS", kernels.c_str(), 1);
  auto backend = make_cpu_backend(0, false);
  restored ? setenv("ROTOR_KERNELS", restored->c_str(), 1) : unsetenv("ROTOR_KERNELS");
  return backend;
}

struct Finding {
  std::string what;   ///< "kernels avx2", "model on cpu, kernels avx2", "ops on vulkan 0 (NAME)"
  std::string state;  ///< "equal", "agrees", "differs", "failed", "cannot run here", "not here"
  std::vector<std::string> differing;
  std::string reason;  ///< of "failed" and "not here"

  bool bad() const { return state == "differs" || state == "failed"; }
};

std::vector<Finding> check_kernels() {
  std::vector<Finding> findings;
  for (const kernels::RegisteredSet& entry : kernels::registered_sets()) {
    Finding finding{cat("kernels ", entry.set->name), "cannot run here", {}, {}};
    if (entry.set->supported()) {
      for (const kernels::OpCheck& check : kernels::check_against_scalar(*entry.set)) {
        if (!check.equal) finding.differing.push_back(check.op);
      }
      finding.state = finding.differing.empty() ? "equal" : "differs";
    }
    findings.push_back(finding);
  }
  return findings;
}

/// `device` opened without the check that would refuse it, so that what differs is seen.
std::unique_ptr<Backend> open_unchecked(const ListedBackend& backend, const ListedDevice& device) {
  return gpu::make_gpu_backend(backend.name, backend.driver->open(device.number));
}

Finding check_device_ops(const ListedBackend& backend, const ListedDevice& device) {
  Finding finding{cat("ops on ", place_text(backend, device)), "failed", {}, {}};
  try {
    const auto opened = open_unchecked(backend, device);
    for (const BackendOpCheck& check : check_ops(*opened, *cpu_with("scalar")).differing) {
      finding.differing.push_back(difference_text(check));
    }
    finding.state = finding.differing.empty() ? "agrees" : "differs";
  } catch (const Error& e) {
    finding.reason = e.what();
  }
  return finding;
}

/// A model, and what the reference makes of it.
struct Reference {
  std::string what;  ///< "odd model"
  std::string path;
  bool is_golden;  ///< the one inside the program
  std::vector<float> logits;
};

void check_model(const Reference& reference, const Transformer& model, const MakeSession& make_session,
                 Nearness nearness, Finding& finding) {
  const auto vocab_size = static_cast<size_t>(model.config().transformer.vocab_size);
  const std::vector<float> found = logits_of(model, make_session);
  if (!agree(found, reference.logits, vocab_size, nearness)) finding.differing.emplace_back("logits");
  if (reference.is_golden && !continues_as_golden(make_session, nearness)) {
    finding.differing.emplace_back("text of the reference implementation");
  }
  finding.state = !finding.differing.empty() ? "differs" : nearness == Nearness::equal ? "equal" : "agrees";
}

/// As many layers as fit there; the device that is lost on the way has failed, though the CPU goes on.
Finding check_model_on(const ListedBackend& backend, const ListedDevice& device, const Reference& reference) {
  Finding finding{cat(reference.what, " on ", place_text(backend, device)), "failed", {}, {}};
  try {
    Backends backends{open_unchecked(backend, device), make_cpu_backend(0, false)};
    LanguageModelOptions options;
    options.warn = [&](const std::string& message) { finding.reason = message; };
    const LanguageModel model(reference.path, std::move(backends), options);
    const MakeSession make_session = [&](const SessionOptions& wanted) { return model.make_session(wanted); };
    check_model(reference, model.transformer(), make_session, Nearness::rounding, finding);
    if (!finding.reason.empty()) finding.state = "failed";
    const int64_t all = model.config().num_hidden_layers;
    if (const int64_t layers = model.placement()->gpu_layers(); layers < all && finding.reason.empty()) {
      finding.what += cat(", ", layers, " of ", all, " layers");
    }
  } catch (const Error& e) {
    finding.reason = e.what();
  }
  return finding;
}

std::vector<Finding> check_model_on_cpu(const Reference& reference, const Transformer& model) {
  std::vector<Finding> findings;
  for (const kernels::RegisteredSet& entry : kernels::registered_sets()) {
    if (!entry.set->supported()) continue;
    const auto backend = cpu_with(entry.set->name);
    const MakeSession make_session = [&](const SessionOptions& options) {
      return Session(model, *backend, options);
    };
    findings.push_back({cat(reference.what, " on cpu, kernels ", entry.set->name), "", {}, {}});
    check_model(reference, model, make_session, Nearness::equal, findings.back());
  }
  return findings;
}

std::vector<Finding> check_everywhere(const std::vector<ListedBackend>& listed, const std::string& what,
                                      const std::string& path, bool is_golden) {
  const RotorFile file(path);
  const Transformer model(file);
  const auto scalar = cpu_with("scalar");
  const Reference reference{what, path, is_golden, logits_of(model, [&](const SessionOptions& options) {
                              return Session(model, *scalar, options);
                            })};
  std::vector<Finding> findings;
  for (const ListedBackend& backend : listed) {
    if (backend.is_cpu()) findings = check_model_on_cpu(reference, model);
    for (const ListedDevice& device : backend.devices) {
      findings.push_back(check_model_on(backend, device, reference));
    }
  }
  file.check_intact();
  return findings;
}

/// Kernel sets, and ops of devices; a backend without a device is no fault.
std::vector<Finding> check_all_ops(const std::vector<ListedBackend>& listed) {
  std::vector<Finding> findings;
  for (const ListedBackend& backend : listed) {
    if (backend.is_cpu()) findings = check_kernels();
    for (const ListedDevice& device : backend.devices) {
      findings.push_back(check_device_ops(backend, device));
    }
    if (!backend.error.empty()) {
      findings.push_back({cat("ops on ", backend.name), "failed", {}, backend.error});
    } else if (!backend.is_cpu() && backend.devices.empty()) {
      findings.push_back(
          {cat("ops on ", backend.name), "not here", {}, "no driver on this machine, or it found no device"});
    }
  }
  return findings;
}

Json to_json(const std::vector<Finding>& findings) {
  Json json = Json::array();
  for (const Finding& finding : findings) {
    json.push_back({{"what", finding.what}, {"state", finding.state}, {"differing", finding.differing}});
    if (!finding.reason.empty()) json.back()["reason"] = finding.reason;
  }
  return json;
}

void print(const std::vector<Finding>& findings) {
  size_t width = 0;
  for (const Finding& finding : findings) width = std::max(width, finding.what.size());
  for (const Finding& finding : findings) {
    std::string details = finding.reason.empty() ? "" : ": " + tool::printable(finding.reason);
    for (const std::string& name : finding.differing) details += cat(details.empty() ? ": " : ", ", name);
    std::printf("  %-*s  %s%s\n", static_cast<int>(width), finding.what.c_str(), finding.state.c_str(),
                details.c_str());
  }
}

}  // namespace

int doctor(int argc, char** argv) {
  cxxopts::Options options(
      "rotor doctor",
      "Holds every kernel set and device of this machine against the scalar reference: op by op,\n"
      "then the logits of models: one inside the program, which must also go on as Hugging Face\n"
      "transformers does, and one of odd widths; or of yours. Kernels must give equal bits, other\n"
      "devices agree up to the order of their sums. Exit status 1 if anything differs.");
  add_device_options(options);
  options.add_options()("model", ".rotor file to check with (default: two small ones)",
                        cxxopts::value<std::string>()->default_value(""))("json", "print JSON");
  const auto parsed = tool::parse_options(options, argc, argv, {}, kDoctorExamples, {"model"});
  if (!parsed) return 0;
  const std::vector<ListedBackend> listed = listed_backends(*parsed);
  std::vector<Finding> findings = check_all_ops(listed);
  const auto path = (*parsed)["model"].as<std::string>();
  const auto add = [&](const std::vector<Finding>& more) {
    findings.insert(findings.end(), more.begin(), more.end());
  };
  if (path.empty()) {
    add(check_everywhere(listed, "golden model", GoldenModel().path(), true));
    add(check_everywhere(listed, "odd model", OddModel().path(), false));
  } else {
    add(check_everywhere(listed, "model", path, false));
  }
  const auto bad = std::count_if(findings.begin(), findings.end(), [](const Finding& f) { return f.bad(); });
  if (parsed->count("json") != 0) {
    std::printf("%s\n", dump_json({{"findings", to_json(findings)}, {"sound", bad == 0}}, 2).c_str());
  } else {
    print(findings);
  }
  std::fprintf(
      stderr,
      bad == 0
          ? "sound: everything that runs here computes what the scalar reference does\n"
          : "NOT SOUND: choose other kernels with ROTOR_KERNELS, or another --backend, and please report "
            "this\n");
  return bad == 0 ? 0 : 1;
}

}  // namespace rotor::runtime::cli
