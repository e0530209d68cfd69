// rotor doctor: whether what runs on this machine computes what it should.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <optional>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/kernels/self_check.h"
#include "rotor/tool/options.h"
#include "rotor/tool/progress.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/golden_model/golden_model.h"
#include "runtime/engine/session.h"

namespace rotor::runtime::cli {
namespace {

constexpr const char* kExamples =
    "  rotor doctor                    every kernel set on this machine, and a small model on every backend\n"
    "  rotor doctor model.rotor        the same with a model of yours; the reference is slow\n";

constexpr int64_t kTokens = 4;

/// The backend with ROTOR_KERNELS set to `kernels` while it is made.
std::unique_ptr<Backend> backend_with(const std::string& name, const std::string& kernels) {
  const char* before = std::getenv("ROTOR_KERNELS");
  const std::optional<std::string> restored =
      before == nullptr ? std::nullopt : std::optional<std::string>(before);
  setenv("ROTOR_KERNELS", kernels.c_str(), 1);
  auto backend = make_backend(name, 0);
  restored ? setenv("ROTOR_KERNELS", restored->c_str(), 1) : unsetenv("ROTOR_KERNELS");
  return backend;
}

/// Logits behind a prompt fed at once and one more token.
std::vector<float> logits_of(const Transformer& model, Backend& backend) {
  Session session(model, backend, {.context = kTokens + 1});
  std::vector<text::TokenId> ids;
  for (int64_t i = 0; i <= kTokens; ++i) {
    ids.push_back(static_cast<text::TokenId>((i * 37 + 5) % model.config().transformer.vocab_size));
  }
  session.feed(std::span(ids).first(kTokens));
  const auto logits = session.feed(std::span(ids).last(1));
  return {logits.begin(), logits.end()};
}

/// Whether the golden model goes on as the reference does, each best token as far above the second as there.
bool continues_as_golden(const Transformer& model, Backend& backend) {
  for (const GoldenContinuation& golden : golden_continuations()) {
    const size_t count = golden.greedy.size();
    Session session(model, backend,
                    {.context = static_cast<int64_t>(golden.prompt.size() + count), .kv = KvType::f32});
    auto logits = session.feed(golden.prompt);
    for (size_t i = 0; i < count; ++i) {
      const auto best = std::max_element(logits.begin(), logits.end());
      if (best - logits.begin() != golden.greedy[i]) return false;
      float second = -std::numeric_limits<float>::infinity();
      for (auto it = logits.begin(); it != logits.end(); ++it) {
        if (it != best) second = std::max(second, *it);
      }
      const bool has_margin = i < golden.margins.size();
      if (has_margin && !(std::fabs(*best - second - golden.margins[i]) <= kGoldenMarginTolerance))
        return false;
      if (i + 1 < count) logits = session.feed({&golden.greedy[i], 1});
    }
  }
  return true;
}

struct Finding {
  std::string what;   ///< "kernels avx2", "model on cpu, kernels avx2"
  std::string state;  ///< "equal", "differs", "cannot run here"
  std::vector<std::string> differing;

  bool bad() const { return state == "differs"; }
};

std::vector<Finding> check_kernels() {
  std::vector<Finding> findings;
  for (const kernels::RegisteredSet& entry : kernels::registered_sets()) {
    Finding finding{cat("kernels ", entry.set->name), "cannot run here", {}};
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

/// `is_golden`: the model is the one inside the program.
std::vector<Finding> check_model(const std::string& path, bool is_golden) {
  const RotorFile file(path);
  const Transformer model(file);
  const std::vector<float> expected = logits_of(model, *backend_with("cpu", "scalar"));
  std::vector<Finding> findings;
  for (const std::string& name : backend_names()) {
    for (const kernels::RegisteredSet& entry : kernels::registered_sets()) {
      if (!entry.set->supported()) continue;
      const auto backend = backend_with(name, entry.set->name);
      Finding finding{cat("model on ", name, ", kernels ", entry.set->name), "equal", {}};
      if (logits_of(model, *backend) != expected) finding.differing.emplace_back("logits");
      if (is_golden && !continues_as_golden(model, *backend)) {
        finding.differing.emplace_back("text of the reference implementation");
      }
      if (!finding.differing.empty()) finding.state = "differs";
      findings.push_back(finding);
    }
  }
  file.check_intact();
  return findings;
}

Json to_json(const std::vector<Finding>& findings) {
  Json json = Json::array();
  for (const Finding& finding : findings) {
    json.push_back({{"what", finding.what}, {"state", finding.state}, {"differing", finding.differing}});
  }
  return json;
}

void print(const std::vector<Finding>& findings) {
  for (const Finding& finding : findings) {
    std::string names;
    for (const std::string& name : finding.differing) names += cat(names.empty() ? ": " : ", ", name);
    std::printf("  %-32s %s%s\n", finding.what.c_str(), finding.state.c_str(), names.c_str());
  }
}

}  // namespace

int doctor(int argc, char** argv) {
  cxxopts::Options options(
      "rotor doctor",
      "Holds every kernel set and backend of this machine against the scalar reference: op\n"
      "by op, then the logits of a model: of a small one inside the program, which must also go on\n"
      "as Hugging Face transformers does, or of yours. Exit status 1 if anything differs.");
  options.add_options()("model", ".rotor file to check with (default: the one inside the program)",
                        cxxopts::value<std::string>()->default_value(""))("json", "print JSON");
  const auto parsed = tool::parse_options(options, argc, argv, {}, kExamples, {"model"});
  if (!parsed) return 0;
  std::vector<Finding> findings = check_kernels();
  const auto path = (*parsed)["model"].as<std::string>();
  std::optional<GoldenModel> golden;
  if (path.empty()) golden.emplace();
  for (const Finding& finding : check_model(golden ? golden->path() : path, golden.has_value())) {
    findings.push_back(finding);
  }
  const auto bad = std::count_if(findings.begin(), findings.end(), [](const Finding& f) { return f.bad(); });
  if (parsed->count("json") != 0) {
    std::printf("%s\n", dump_json({{"findings", to_json(findings)}, {"sound", bad == 0}}, 2).c_str());
  } else {
    print(findings);
  }
  std::fprintf(stderr, bad == 0
                           ? "sound: everything that runs here equals the scalar reference\n"
                           : "NOT SOUND: choose other kernels with ROTOR_KERNELS, and please report this\n");
  return bad == 0 ? 0 : 1;
}

}  // namespace rotor::runtime::cli
