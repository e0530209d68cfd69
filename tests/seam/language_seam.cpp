// One pass a kind of activations.
#include "tests/seam/language_seam.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "rotor/tool/progress.h"
#include "runtime/engine/perplexity.h"
#include "runtime/engine/session.h"
#include "train/models/parameters.h"
#include "train/models/transformer.h"

namespace rotor::test {
namespace {

constexpr double kPerplexityTolerance = 1e-3;
constexpr double kSameTop = 0.99;
constexpr double kMeanError = 1e-2;
constexpr double kFloatError = 1e-5;

ptrdiff_t best(std::span<const float> logits) {
  return std::max_element(logits.begin(), logits.end()) - logits.begin();
}

double relative_error(std::span<const float> found, std::span<const float> expected) {
  double difference = 0.0;
  double size = 0.0;
  for (size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(static_cast<double>(found[i]) - static_cast<double>(expected[i]), 2);
    size += std::pow(static_cast<double>(expected[i]), 2);
  }
  return std::sqrt(difference / std::max(size, 1e-30));
}

LogitsComparison compare(const Checkpoint& checkpoint, const std::string& model_path,
                         runtime::Backend& backend, std::span<const text::TokenId> ids, int64_t block_size,
                         bool float_activations) {
  const torch::NoGradGuard no_grad;
  train::TransformerOptions options;
  options.float_activations = float_activations;
  train::Transformer module(checkpoint.config(), options);
  train::load_parameters(*module, checkpoint);
  const RotorFile file(model_path);
  const runtime::Transformer packed(file, float_activations);
  const auto width = static_cast<size_t>(checkpoint.config().transformer.vocab_size);
  LogitsComparison result;
  const auto block = static_cast<size_t>(block_size);
  for (size_t first = 0; first + 1 < ids.size(); first += block) {
    const auto window = ids.subspan(first, std::min(block, ids.size() - 1 - first));
    const std::vector<int64_t> inputs(window.begin(), window.end());
    const torch::Tensor expected = module->forward(torch::tensor(inputs).unsqueeze(0))[0].contiguous();
    runtime::Session session(packed, backend, {.context = block_size, .kv = runtime::KvType::f32});
    session.feed_all(window, [&](int64_t index, std::span<const float> found) {
      const std::span<const float> row(expected.data_ptr<float>() + static_cast<size_t>(index) * width,
                                       width);
      const text::TokenId target = ids[first + static_cast<size_t>(index) + 1];
      const double error = relative_error(found, row);
      ++result.tokens;
      result.same_top += best(found) == best(row) ? 1 : 0;
      result.module_loss += runtime::negative_log_likelihood(row, target);
      result.packed_loss += runtime::negative_log_likelihood(found, target);
      result.mean_error += error;
      // NaN counts as the largest, and stays.
      if (!(error <= result.largest_error)) result.largest_error = error;
    });
  }
  const auto count = static_cast<double>(std::max<int64_t>(result.tokens, 1));
  result.module_loss /= count;
  result.packed_loss /= count;
  result.mean_error /= count;
  return result;
}

std::string line(const char* kind, const LogitsComparison& c) {
  return tool::format(
      "%s: %lld tokens, perplexity %.4f and %.4f (%+.4f %%), same best token %.2f %%, logits differ by %.2g "
      "(mean), "
      "%.2g (largest)\n",
      kind, static_cast<long long>(c.tokens), std::exp(c.module_loss), std::exp(c.packed_loss),
      100.0 * std::expm1(c.packed_loss - c.module_loss),
      100.0 * static_cast<double>(c.same_top) / static_cast<double>(std::max<int64_t>(c.tokens, 1)),
      c.mean_error, c.largest_error);
}

}  // namespace

LanguageSeamReport compare_language_seam(const Checkpoint& checkpoint, const std::string& model_path,
                                         runtime::Backend& backend, std::span<const text::TokenId> ids,
                                         int64_t block_size) {
  return {compare(checkpoint, model_path, backend, ids, block_size, false),
          compare(checkpoint, model_path, backend, ids, block_size, true)};
}

bool acceptable(const LanguageSeamReport& report) {
  const LogitsComparison& a = report.as_trained;
  return a.tokens > 0 && std::fabs(std::expm1(a.packed_loss - a.module_loss)) <= kPerplexityTolerance &&
         static_cast<double>(a.same_top) >= kSameTop * static_cast<double>(a.tokens) &&
         a.mean_error <= kMeanError && std::isfinite(a.largest_error) &&
         report.float_activations.largest_error < kFloatError;
}

std::string describe(const LanguageSeamReport& report) {
  return line("int8 activations", report.as_trained) + line("float activations", report.float_activations);
}

}  // namespace rotor::test
