// rotor doctor: whether what runs on this machine computes what it should.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/kernels/self_check.h"
#include "rotor/tool/options.h"
#include "rotor/tool/progress.h"
#include "runtime/cli/commands.h"
#include "runtime/engine/session.h"
#include "runtime/engine/synthetic_model.h"

namespace rotor::runtime::cli {
namespace {

constexpr const char* kExamples =
    "  rotor doctor                    every kernel set on this machine, and a small model on every backend\n"
    "  rotor doctor model.rotor        the same with a model of yours; the reference is slow\n";

constexpr int64_t kTokens = 4;

/// A small model with odd widths, so that every edge of a tile is met.
ModelConfig small_model() {
  ModelConfig config = published_shape("bitnet-700m");
  TransformerConfig& t = config.transformer;
  t.vocab_size = 301;
  t.hidden_size = 200;
  t.intermediate_size = 330;
  t.num_hidden_layers = 2;
  t.num_attention_heads = 5;
  t.num_key_value_heads = 5;
  t.head_dim = 40;
  t.max_position_embeddings = 64;
  return config;
}

/// Logits behind a prompt fed at once and one more token, with ROTOR_KERNELS set to `kernels`.
std::vector<float> logits_of(const Transformer& model, const std::string& backend_name,
                             const std::string& kernels) {
  const char* before = std::getenv("ROTOR_KERNELS");
  const std::optional<std::string> restored =
      before == nullptr ? std::nullopt : std::optional<std::string>(before);
  setenv("ROTOR_KERNELS", kernels.c_str(), 1);
  const auto backend = make_backend(backend_name, 0);
  restored ? setenv("ROTOR_KERNELS", restored->c_str(), 1) : unsetenv("ROTOR_KERNELS");
  Session session(model, *backend, {.context = kTokens + 1});
  std::vector<text::TokenId> ids;
  for (int64_t i = 0; i <= kTokens; ++i) {
    ids.push_back(static_cast<text::TokenId>((i * 37 + 5) % model.config().transformer.vocab_size));
  }
  session.feed(std::span(ids).first(kTokens));
  const auto logits = session.feed(std::span(ids).last(1));
  return {logits.begin(), logits.end()};
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

std::vector<Finding> check_model(const std::string& path) {
  const RotorFile file(path);
  const Transformer model(file);
  const std::vector<float> expected = logits_of(model, "cpu", "scalar");
  std::vector<Finding> findings;
  for (const std::string& backend : backend_names()) {
    for (const kernels::RegisteredSet& entry : kernels::registered_sets()) {
      if (!entry.set->supported()) continue;
      const bool equal = logits_of(model, backend, entry.set->name) == expected;
      findings.push_back({cat("model on ", backend, ", kernels ", entry.set->name),
                          equal ? "equal" : "differs",
                          equal ? std::vector<std::string>{} : std::vector<std::string>{"logits"}});
    }
  }
  file.check_intact();
  return findings;
}

/// The model that is checked: the user's, or a small one that goes when this object does.
class CheckedModel {
 public:
  explicit CheckedModel(const std::string& path) : path_(path), temporary_(path.empty()) {
    if (!temporary_) return;
    path_ = std::filesystem::temp_directory_path() / cat("rotor-doctor-", getpid(), ".rotor");
    write_synthetic_model(path_, small_model(), DenseType::q8, [](int64_t, int64_t) {});
  }
  ~CheckedModel() {
    std::error_code ignored;
    if (temporary_) std::filesystem::remove(path_, ignored);
  }
  CheckedModel(const CheckedModel&) = delete;
  CheckedModel& operator=(const CheckedModel&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  bool temporary_;
};

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
      "by op, then the logits of a model. Exit status 1 if anything differs.");
  options.add_options()("model", ".rotor file to check with (default: a small one, made for this)",
                        cxxopts::value<std::string>()->default_value(""))("json", "print JSON");
  const auto parsed = tool::parse_options(options, argc, argv, {}, kExamples, {"model"});
  if (!parsed) return 0;
  std::vector<Finding> findings = check_kernels();
  const CheckedModel model((*parsed)["model"].as<std::string>());
  for (const Finding& finding : check_model(model.path())) findings.push_back(finding);
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
