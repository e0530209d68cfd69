// What a model thinks of the next token, before anything is done to its logits.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "rotor/text/tokenizer.h"

namespace rotor::runtime {

/// ln of the probability that the model gives a token, before penalties, biases and temperature.
struct TokenLogprob {
  text::TokenId id = 0;
  double logprob = 0.0;
};

/// log softmax of `logits` at `id`, and the `count` largest, in order, of equal ones the lower id first.
struct TokenLogprobs {
  double logprob = 0.0;
  std::vector<TokenLogprob> largest;
};
TokenLogprobs log_probabilities(std::span<const float> logits, text::TokenId id, int64_t count);

/// Shannon's entropy of softmax(`logits`), in nats: 0 if one token is certain, ln n if n tokens are equally
/// likely. -inf is a token that cannot be.
double entropy(std::span<const float> logits);

}  // namespace rotor::runtime
