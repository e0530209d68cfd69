// How fast a language model runs here, held against what the machine's memory can give at the same moment.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "runtime/engine/language_model.h"

namespace rotor::runtime {

/// Medians and their spread over repetitions.
struct Sample {
  std::vector<double> values;

  double median() const;
  /// Half the distance between the quartiles, over the median: 0.01 is one percent.
  double spread() const;
};

struct BenchmarkOptions {
  int64_t prompt_tokens = 128;  ///< 0: no prompt is measured
  int64_t decode_tokens = 64;   ///< generated one by one behind an empty prompt; 0: not measured
  int64_t depth = 0;            ///< tokens in the cache before decoding begins
  int64_t batch = 1;            ///< texts that are decoded together
  int64_t repetitions = 5;
  int64_t top_k = 40;  ///< so many of the largest logits are wanted of a decoded token; 0: all
  bool measure_bandwidth = true;
  SessionOptions session;  ///< its context is chosen
  /// Called with steps done and of all; false stops early.
  std::function<bool(int64_t done, int64_t total)> keep_going;
};

struct BenchmarkResult {
  Sample prompt_tokens_per_second;
  Sample decode_tokens_per_second;        ///< of all texts together
  Sample first_token_seconds;             ///< of the prompt, until its logits are there
  Sample read_bandwidth;                  ///< bytes a second, of memory that no cache holds
  int64_t bytes_per_token = 0;            ///< that decoding reads: weights, and the cache half-way
  double head_share = 1.0;                ///< of the head's rows that decoding reads
  double submissions_per_token = 0.0;     ///< of decoding, to a device that is launched
  double launches_per_token = 0.0;        ///< commands in them
  std::optional<double> joule_per_token;  ///< while decoding, if the kernel shows the processor's energy

  /// Of the measured bandwidth that decoding reached, repetition by repetition.
  Sample bandwidth_share() const;
};

/// Those of the session that is measured: with the context that it needs, and pages for texts that are
/// decoded together.
SessionOptions session_options(const BenchmarkOptions& options);

/// Random tokens, since what they are does not matter; every repetition measures a bandwidth, a prompt and a
/// decode, one after the other, behind a warm-up. Throws Error if the device was lost meanwhile.
BenchmarkResult run_benchmark(const LanguageModel& model, const BenchmarkOptions& options);

/// Bytes of weights that a token of decoding reads: every tensor but an untied embedding, attachments, and
/// the copy by which a head is screened.
int64_t weight_bytes_per_token(const RotorFile& file);

}  // namespace rotor::runtime
