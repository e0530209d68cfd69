// The tolerances are those of the golden files (tests/golden/bitnet-tiny).
#include "runtime/cli/model_checks.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <utility>

#include "rotor/core/error.h"
#include "runtime/cli/golden_model/golden_model.h"
#include "runtime/engine/synthetic_model.h"

namespace rotor::runtime::cli {
namespace {

constexpr int64_t kTokens = 4;

/// Where an int8 code of an activation falls to the other side of a tie, what follows differs a little. The
/// golden files' rule for that is a cosine above 0.998, as vectors of one length less than 6.3 % apart, and
/// logits that differ by less than 0.25 on average, so that the distance of two may by twice that.
constexpr double kMostApart = 0.063;
constexpr float kMarginAfterFlips = 0.5F;

bool row_agrees(std::span<const float> found, std::span<const float> expected) {
  const auto best = std::max_element(expected.begin(), expected.end()) - expected.begin();
  double apart = 0.0;
  double length = 0.0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto a = static_cast<double>(found[i]);
    const auto b = static_cast<double>(expected[i]);
    if (std::isinf(b) || (std::isinf(a) && std::cmp_not_equal(i, best))) continue;
    apart += (a - b) * (a - b);
    length += b * b;
  }
  return apart <= kMostApart * kMostApart * length;  // NaN is not
}

}  // namespace

OddModel::OddModel()
    : path_(std::filesystem::temp_directory_path() / cat("rotor-doctor-", getpid(), ".rotor")) {
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

OddModel::~OddModel() {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

std::vector<float> logits_of(const Transformer& model, const MakeSession& make_session) {
  Session session =
      make_session({.context = kTokens + 1,
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

bool agree(std::span<const float> found, std::span<const float> expected, size_t vocab_size,
           Nearness nearness) {
  if (nearness == Nearness::equal) return std::ranges::equal(found, expected);
  for (size_t first = 0; first < expected.size(); first += vocab_size) {
    if (!row_agrees(found.subspan(first, vocab_size), expected.subspan(first, vocab_size))) return false;
  }
  return true;
}

/// The reference's tokens are fed, whatever is found: where two are nearly as good, either may be the best.
bool continues_as_golden(const MakeSession& make_session, Nearness nearness) {
  const bool exact = nearness == Nearness::equal;
  const float tolerance = exact ? kGoldenMarginTolerance : kMarginAfterFlips;
  for (const GoldenContinuation& golden : golden_continuations()) {
    const size_t count = golden.greedy.size();
    Session session =
        make_session({.context = static_cast<int64_t>(golden.prompt.size() + count), .kv = KvType::f32});
    auto logits = session.feed(golden.prompt);
    for (size_t i = 0; i < count; ++i) {
      // How far the reference's token is above the best of the others; below 0 if it is not the best.
      const auto token = static_cast<size_t>(golden.greedy[i]);
      float other = -std::numeric_limits<float>::infinity();
      for (size_t id = 0; id < logits.size(); ++id) {
        if (id != token) other = std::max(other, logits[id]);
      }
      const float margin = logits[token] - other;
      const bool known = i < golden.margins.size();
      if (known && !(std::fabs(margin - golden.margins[i]) <= tolerance)) return false;
      if (exact && !(margin > 0.0F)) return false;
      if (i + 1 < count) logits = session.feed({&golden.greedy[i], 1});
    }
  }
  return true;
}

}  // namespace rotor::runtime::cli
