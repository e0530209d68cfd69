// Penalties on tokens that a text already holds, so that a model does not go round in circles. As in
// llama.cpp: the repetition penalty of CTRL (Keskar et al. 2019, arXiv:1909.05858), and the frequency and
// presence penalties of OpenAI's API.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "rotor/text/tokenizer.h"

namespace rotor::runtime {

class Penalties {
 public:
  struct Options {
    double repeat = 1.0;     ///< 1: off
    double frequency = 0.0;  ///< 0: off
    double presence = 0.0;   ///< 0: off
    int64_t last_n = 64;     ///< how many of the last tokens count; 0: none, -1: all
  };

  /// Ids are 0 to vocab_size - 1.
  Penalties(const Options& options, int64_t vocab_size);

  /// Appends a token to the text.
  void accept(text::TokenId id);

  /// The tokens that apply() looks at, some of them more than once; empty if it changes nothing.
  std::span<const text::TokenId> window() const { return window_; }

  /// With n the number of times that a token is among the last ones, n > 0: a logit above 0 is divided by
  /// `repeat`, any other multiplied by it; then n * frequency + presence is subtracted. `logits`:
  /// [vocab_size].
  void apply(std::span<float> logits);

 private:
  bool active_;
  Options options_;
  std::vector<text::TokenId> window_;  // the last tokens: a ring once it is full
  size_t next_ = 0;                    // where the ring's oldest token is
  std::vector<int32_t> counts_;        // [vocab_size]: how often each is in the window
};

}  // namespace rotor::runtime
