// Text that a model writes while it is trained. It recomputes the whole context for each token: for a look at
// what was learnt; fast generation is runtime/engine.
#pragma once

#include <torch/torch.h>

#include <string>
#include <vector>

#include "rotor/text/tokenizer.h"
#include "train/config/train_config.h"
#include "train/models/transformer.h"

namespace rotor::train {

/// Continues config.prompt, behind the model's begin-of-text token if it has one (without either: a new
/// line), by config.tokens tokens, drawn with config.temperature (0: the likeliest). A pure function of the
/// model and `seed`. The prompt is part of the result.
std::string sample_text(Transformer& model, const text::Tokenizer& tokenizer, const SampleConfig& config,
                        int64_t block_size, uint64_t seed, torch::Device device);

/// Continues `prompt`, in which special tokens are parsed, until one of `stops`. The prompt is part of the
/// result, the stop token is not.
std::string sample_answer(Transformer& model, const text::Tokenizer& tokenizer, const std::string& prompt,
                          const std::vector<text::TokenId>& stops, const SampleConfig& config,
                          int64_t block_size, uint64_t seed, torch::Device device);

}  // namespace rotor::train
