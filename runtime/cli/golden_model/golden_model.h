// A small BitNet b1.58 model inside the program, and what Hugging Face transformers makes of it: whether this
// machine computes what it should can be seen without a file and without a network.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "rotor/text/tokenizer.h"

namespace rotor::runtime::cli {

/// A prompt, what the reference goes on with when it takes the best token each time, and how far that is
/// above the second best, in logits, for as many of them as are given (tests/golden/bitnet-tiny, packed,
/// float32).
struct GoldenContinuation {
  std::vector<text::TokenId> prompt;
  std::vector<text::TokenId> greedy;
  std::vector<float> margins;
};
const std::vector<GoldenContinuation>& golden_continuations();

/// How far a correct implementation's margins may be off: twice what the golden files allow a logit.
inline constexpr float kGoldenMarginTolerance = 2e-3F;

/// The model as a file that exists in memory, as long as this object does: bitnet-tiny.rotor, made by
/// `rotor-export --head f16 tests/golden/bitnet-tiny`.
class GoldenModel {
 public:
  /// Throws Error if there is no memory for it.
  GoldenModel();
  ~GoldenModel();
  GoldenModel(const GoldenModel&) = delete;
  GoldenModel& operator=(const GoldenModel&) = delete;

  const std::string& path() const { return path_; }

 private:
  int file_;
  std::string path_;
};

/// Its bytes.
std::span<const uint8_t> golden_model_bytes();

}  // namespace rotor::runtime::cli
