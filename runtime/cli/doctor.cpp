// rotor doctor: whether what runs on this machine computes what it should.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <optional>
#include <utility>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/kernels/self_check.h"
#include "rotor/tool/options.h"
#include "rotor/tool/progress.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/golden_model/golden_model.h"
#include "runtime/engine/session.h"
#include "runtime/engine/synthetic_model.h"

namespace rotor::runtime::cli {
namespace {

constexpr const char* kExamples =
    "  rotor doctor                    every kernel set on this machine, and a small model on every backend\n"
    "  rotor doctor model.rotor        the same with a model of yours; the reference is slow\n";

constexpr int64_t kTokens = 4;

/// A model with odd widths, so that every edge of a tile is met, and a head in int8 with a copy to screen it
/// by, which the golden model has not. In a file that goes when this object does.
class OddModel {
 public:
  OddModel() : path_(std::filesystem::temp_directory_path() / cat("rotor-doctor-", getpid(), ".rotor")) {
    ModelConfig config = published_shape("bitnet-700m");
    TransformerConfig& t = config.transformer;
    t.vocab_size = 1501;
    t.hidden_size = 200;
    t.intermediate_size = 330;
    t.num_hidden_layers = 2;
    t.num_attention_heads = 5;
    t.num_key_value_heads = 5;
    t.head_dim = 40;
    t.max_position_embeddings = 64;
    write_synthetic_model(path_, config, {DenseType::q8, true}, [](int64_t, int64_t) {});
  }
  ~OddModel() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  OddModel(const OddModel&) = delete;
  OddModel& operator=(const OddModel&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

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

/// Logits behind a prompt fed at once and one more token, which go on with those of a screened head if the
/// model can do that.
std::vector<float> logits_of(const Transformer& model, Backend& backend) {
  Session session(model, backend,
                  {.context = kTokens + 1,
                   .head_screening = model.can_screen() ? HeadScreeningMode::on : HeadScreeningMode::off});
  const int64_t vocab_size = model.config().transformer.vocab_size;
  std::vector<text::TokenId> ids;
  for (int64_t i = 0; i <= kTokens; ++i) ids.push_back(static_cast<text::TokenId>((i * 37 + 5) % vocab_size));
  session.feed(std::span(ids).first(kTokens));
  const auto all = session.feed(std::span(ids).last(1));
  std::vector<float> logits(all.begin(), all.end());
  if (model.can_screen()) {
    session.rewind(kTokens);
    const auto screened = session.feed(std::span(ids).last(1), {1, {}, vocab_size});
    logits.insert(logits.end(), screened.begin(), screened.end());
  }
  return logits;
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
  std::string what;   ///< "kernels avx2", "model on cpu, kernels avx2", "model on vulkan"
  std::string state;  ///< "equal", "agrees", "differs", "failed", "cannot run here", "not here"
  std::vector<std::string> differing;
  std::string reason;  ///< of "failed" and "not here"

  bool bad() const { return state == "differs" || state == "failed"; }
};

/// Whether logits [rows, vocab_size] of another processor are those of the CPU: integer sums are equal
/// everywhere, but floats are summed in another order, and where that turns an int8 code of an activation
/// over, what follows differs a little. The golden models' rule for that is a cosine above 0.998
/// (tests/golden/bitnet-tiny): as vectors of one length, less than 6.3 % apart. What was not wanted may be
/// -inf.
bool agree(std::span<const float> found, std::span<const float> expected, size_t vocab_size) {
  constexpr double kMostApart = 0.063;
  for (size_t first = 0; first < expected.size(); first += vocab_size) {
    const auto row = expected.subspan(first, vocab_size);
    const auto best = std::max_element(row.begin(), row.end()) - row.begin();
    double apart = 0.0;
    double length = 0.0;
    for (size_t i = 0; i < vocab_size; ++i) {
      const auto a = static_cast<double>(found[first + i]);
      const auto b = static_cast<double>(row[i]);
      if (std::isinf(b) || (std::isinf(a) && std::cmp_not_equal(i, best))) continue;
      apart += (a - b) * (a - b);
      length += b * b;
    }
    if (!(apart <= kMostApart * kMostApart * length)) return false;  // nor NaN
  }
  return true;
}

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

/// A small model, and what the reference makes of it.
struct Reference {
  const Transformer& model;
  std::vector<float> logits;
  bool is_golden;  ///< the model is the one inside the program
};

/// `exactly`: with kernels of ours, which give the reference's bits.
void check_backend(const Reference& reference, Backend& backend, bool exactly, Finding& finding) {
  const std::vector<float> found = logits_of(reference.model, backend);
  const auto vocab_size = static_cast<size_t>(reference.model.config().transformer.vocab_size);
  const bool same = exactly ? found == reference.logits : agree(found, reference.logits, vocab_size);
  if (!same) finding.differing.emplace_back("logits");
  if (reference.is_golden && !continues_as_golden(reference.model, backend)) {
    finding.differing.emplace_back("text of the reference implementation");
  }
  finding.state = !finding.differing.empty() ? "differs" : exactly ? "equal" : "agrees";
}

/// A backend that has no kernel sets; one that cannot run here is no fault.
Finding check_device(const std::string& what, const std::string& name, const Reference& reference) {
  Finding finding{cat(what, " on ", name), "not here", {}, {}};
  try {
    const auto backend = make_backend(name, 0);
    if (!backend->device().empty()) finding.what += cat(" (", tool::printable(backend->device()), ")");
    finding.state = "failed";
    check_backend(reference, *backend, false, finding);
  } catch (const Error& e) {
    finding.reason = e.what();
  }
  return finding;
}

std::vector<Finding> check_model(const std::string& what, const std::string& path, bool is_golden) {
  const RotorFile file(path);
  const Transformer model(file);
  const Reference reference{model, logits_of(model, *backend_with("cpu", "scalar")), is_golden};
  std::vector<Finding> findings;
  for (const std::string& name : backend_names()) {
    if (name != "cpu") {
      findings.push_back(check_device(what, name, reference));
      continue;
    }
    for (const kernels::RegisteredSet& entry : kernels::registered_sets()) {
      if (!entry.set->supported()) continue;
      findings.push_back({cat(what, " on ", name, ", kernels ", entry.set->name), "", {}, {}});
      check_backend(reference, *backend_with(name, entry.set->name), true, findings.back());
    }
  }
  file.check_intact();
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
  for (const Finding& finding : findings) {
    std::string names = finding.reason.empty() ? "" : ": " + finding.reason;
    for (const std::string& name : finding.differing) names += cat(names.empty() ? ": " : ", ", name);
    std::printf("  %-40s %s%s\n", finding.what.c_str(), finding.state.c_str(), names.c_str());
  }
}

}  // namespace

int doctor(int argc, char** argv) {
  cxxopts::Options options(
      "rotor doctor",
      "Holds every kernel set and backend of this machine against the scalar reference: op\n"
      "by op, then the logits of models: one inside the program, which must also go on as Hugging\n"
      "Face transformers does, and one of odd widths; or of yours. Kernels must give equal bits, other\n"
      "devices agree up to the order of their sums. Exit status 1 if anything differs.");
  options.add_options()("model", ".rotor file to check with (default: two small ones)",
                        cxxopts::value<std::string>()->default_value(""))("json", "print JSON");
  const auto parsed = tool::parse_options(options, argc, argv, {}, kExamples, {"model"});
  if (!parsed) return 0;
  std::vector<Finding> findings = check_kernels();
  const auto path = (*parsed)["model"].as<std::string>();
  const auto add = [&](const std::vector<Finding>& more) {
    findings.insert(findings.end(), more.begin(), more.end());
  };
  if (path.empty()) {
    add(check_model("golden model", GoldenModel().path(), true));
    add(check_model("odd model", OddModel().path(), false));
  } else {
    add(check_model("model", path, false));
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
