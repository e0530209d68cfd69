// The protocol's arithmetic; reference: llama.cpp, perplexity.cpp, function `perplexity`.
#include "runtime/engine/perplexity.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "rotor/core/error.h"

namespace rotor::runtime {

double PerplexityResult::nll() const {
  return tokens == 0 ? 0.0 : nll_sum / static_cast<double>(tokens);
}

double PerplexityResult::perplexity() const {
  return std::exp(nll());
}

double PerplexityResult::std_error() const {
  if (tokens < 2) return 0.0;
  const auto count = static_cast<double>(tokens);
  const double variance = nll_square_sum / count - nll() * nll();
  return std::sqrt(std::max(variance, 0.0) / (count - 1)) * perplexity();
}

double negative_log_likelihood(std::span<const float> logits, text::TokenId id) {
  const auto largest = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - largest);
  return std::log(sum) - (static_cast<double>(logits[static_cast<size_t>(id)]) - largest);
}

PerplexityResult perplexity(const ComputeChunk& model, std::span<const text::TokenId> tokens,
                            const PerplexityOptions& options) {
  const int64_t context = options.context;
  if (context < 4) fail("context: expected at least 4 tokens, found ", context);
  if (options.max_chunks == 0 || options.max_chunks < -1) {
    fail("chunks: expected -1 (all) or at least 1, found ", options.max_chunks);
  }
  const auto size = static_cast<int64_t>(tokens.size());
  if (size < context) {
    fail("text: expected at least one chunk of ", context, " tokens, found ", size,
         "; take a longer text or a smaller context");
  }
  int64_t total_chunks = size / context;
  if (options.max_chunks > 0) total_chunks = std::min(total_chunks, options.max_chunks);

  PerplexityResult result;
  const int64_t first = context / 2;
  for (int64_t chunk = 0; chunk < total_chunks; ++chunk) {
    const auto of_chunk = tokens.subspan(static_cast<size_t>(chunk * context), static_cast<size_t>(context));
    // The last token is only predicted: nothing behind it is scored.
    std::vector<text::TokenId> inputs(of_chunk.begin(), of_chunk.end() - 1);
    if (options.bos) inputs.front() = *options.bos;
    PerplexityResult with_chunk = result;
    const bool whole = model(inputs, first, [&](int64_t index, std::span<const float> logits) {
      const text::TokenId next = of_chunk[static_cast<size_t>(index + 1)];
      if (next < 0 || std::cmp_greater_equal(next, logits.size())) {
        fail("token id: expected 0 to ", logits.size() - 1, ", found ", next);
      }
      const double nll = negative_log_likelihood(logits, next);
      if (std::isnan(nll)) fail("chunk ", chunk, ", token ", index, ": the logits are NaN");
      with_chunk.nll_sum += nll;
      with_chunk.nll_square_sum += nll * nll;
      ++with_chunk.tokens;
    });
    if (!whole) break;
    ++with_chunk.chunks;
    result = with_chunk;
    if (options.on_chunk && !options.on_chunk(result, total_chunks)) break;
  }
  return result;
}

}  // namespace rotor::runtime
