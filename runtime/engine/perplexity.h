// Perplexity of a text, by the protocol of llama.cpp's llama-perplexity, so that numbers can be compared: the
// text is cut into chunks of `context` tokens, each computed with an empty cache; the second half of each is
// scored, so every prediction has at least half a context before it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "rotor/text/tokenizer.h"

namespace rotor::runtime {

using OnLogits = std::function<void(int64_t index, std::span<const float> logits)>;

/// Computes `tokens` with an empty cache, and calls `on_logits` with the logits behind token i for i from
/// `first` to the last, in order. Returns false if it gave up: then the chunk does not count, and the run
/// ends.
using ComputeChunk =
    std::function<bool(std::span<const text::TokenId> tokens, int64_t first, const OnLogits& on_logits)>;

struct PerplexityResult {
  int64_t chunks = 0;
  int64_t tokens = 0;    ///< scored
  double nll_sum = 0.0;  ///< sum of -log p of the scored tokens, in nats
  double nll_square_sum = 0.0;

  /// Mean of -log p.
  double nll() const;
  double perplexity() const;
  /// Standard error of the perplexity: that of the mean, times the perplexity (the "+/-" of
  /// llama-perplexity).
  double std_error() const;
};

struct PerplexityOptions {
  int64_t context = 512;             ///< tokens of a chunk, at least 4
  int64_t max_chunks = -1;           ///< -1: all
  std::optional<text::TokenId> bos;  ///< stands in place of the first token of each chunk
  /// Called behind each chunk with the figures so far; false ends the run.
  std::function<bool(const PerplexityResult& so_far, int64_t total_chunks)> on_chunk;
};

/// -log of the probability that softmax(logits) gives `id`, in double; infinite if it is 0.
double negative_log_likelihood(std::span<const float> logits, text::TokenId id);

/// `tokens`: the text's, with `bos` before them if there is one, as the protocol has it. Tokens i with
/// context / 2 < i < context of each chunk are scored; what does not fill a chunk is left out. Throws Error
/// if there is not one whole chunk (llama-perplexity wants two), or if the logits are NaN.
PerplexityResult perplexity(const ComputeChunk& model, std::span<const text::TokenId> tokens,
                            const PerplexityOptions& options);

}  // namespace rotor::runtime
