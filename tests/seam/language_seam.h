// The seam between training and runtime for language models: logits of the LibTorch module and of the packed
// model on the same tokens, as trained (int8 activations) and with float activations, where no rounding can
// flip.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "rotor/formats/checkpoint.h"
#include "rotor/text/tokenizer.h"
#include "runtime/backends/backend.h"

namespace rotor::test {

/// Over all tokens that were compared.
struct LogitsComparison {
  int64_t tokens = 0;
  int64_t same_top = 0;      ///< tokens whose likeliest next token is the same
  double module_loss = 0.0;  ///< mean cross entropy, nats
  double packed_loss = 0.0;
  double mean_error = 0.0;  ///< mean of |packed - module| / |module| (L2) over tokens
  double largest_error = 0.0;
};

struct LanguageSeamReport {
  LogitsComparison as_trained;
  LogitsComparison float_activations;
};

/// Runs windows of `block_size` tokens of `ids` through both, each from an empty context. `model_path`: a
/// .rotor file of the checkpoint with its head in float32. The cache is float32.
LanguageSeamReport compare_language_seam(const Checkpoint& checkpoint, const std::string& model_path,
                                         runtime::Backend& backend, std::span<const text::TokenId> ids,
                                         int64_t block_size);

/// What the two agree to: perplexity within 0.1 %, the same best token on 99 %, mean relative error of the
/// logits at most 1e-2, and below 1e-5 with float activations (so that the rest is int8 rounding at ties).
bool acceptable(const LanguageSeamReport& report);

/// Two lines, as people read them.
std::string describe(const LanguageSeamReport& report);

}  // namespace rotor::test
