// Continuous batching (Yu et al. 2022, Orca, OSDI): texts join and leave the running batch at every step, so
// that the weights are read once for all of them. One thread of its own computes; any number of threads hand
// in requests and wait for what comes. Keys and values lie in pages (Kwon et al. 2023, arXiv:2309.06180) that
// texts with the same beginning share.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rotor/core/error.h"
#include "runtime/engine/generate.h"
#include "runtime/engine/language_model.h"
#include "runtime/engine/log_probabilities.h"
#include "runtime/engine/sampler.h"

namespace rotor::runtime {

using Clock = std::chrono::steady_clock;

struct BatcherOptions {
  SessionOptions session;      ///< context: of each text; batch: most tokens computed in one step
  int64_t max_sequences = 16;  ///< texts that run at once
  uint64_t kv_bytes = 0;       ///< for all keys and values; 0: what max_sequences texts of full length take,
                          ///< at most a quarter of the machine's memory and of the device's that is free, at
                          ///< least one text
  int64_t queue = 128;         ///< texts that may wait; more are refused
  int64_t prefill_chunk = 32;  ///< tokens of prompts in a step, while other texts are being decoded
  bool prefix_cache = true;    ///< keep pages of texts that ended, for others with the same beginning
  int64_t draft_tokens = 0;    ///< most tokens a step that are guessed from the text so far; 0: off
};

/// A text that is to be gone on with, or a text whose embedding is wanted.
struct BatchRequest {
  std::vector<text::TokenId> prompt;
  SamplerOptions sampling;
  std::shared_ptr<TokenConstraint> constraint;  ///< of this text alone; nullptr: none
  int64_t max_new_tokens = -1;                  ///< -1: no limit but the context
  std::vector<text::TokenId> stop_tokens;
  std::vector<std::string> stop_strings;
  bool continues_text = true;           ///< as in GenerateOptions
  std::optional<int64_t> top_logprobs;  ///< so many alternatives of each token; none: no log-probabilities
  bool entropy = false;                 ///< how sure the model is of each token (BatchProgress::entropy)
  bool embed = false;                   ///< the mean of the last hidden states, and no new tokens
  std::vector<ActiveAdapter> adapters;
  std::optional<Clock::time_point> deadline;  ///< what is there then is the answer
  bool goes_on = false;  ///< of a request whose other texts were taken: also taken after stop_accepting()
};

struct BatchToken {
  text::TokenId id = 0;
  std::string bytes;                       ///< that it adds to the text, perhaps part of a character
  double logprob = 0.0;                    ///< only if they were asked for, like `alternatives`
  std::vector<TokenLogprob> alternatives;  ///< the most likely tokens, in order
};

struct BatchUsage {
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;  ///< of the prompt, that were not computed for this text
  int64_t completion_tokens = 0;
  int64_t drafted_tokens = 0;        ///< that were guessed, and
  int64_t accepted_tokens = 0;       ///< that were right
  double queue_seconds = 0.0;        ///< until the prompt was begun
  double first_token_seconds = 0.0;  ///< from submit() to the first token
  double seconds = 0.0;              ///< from submit() to the end
};

/// What came of a text since it was last asked for.
struct BatchProgress {
  std::string text;                ///< whole characters
  std::vector<BatchToken> tokens;  ///< those of a stop string included; a stop token is none
  bool finished = false;           ///< nothing more comes; what follows is valid then
  StopReason stop_reason = StopReason::length;
  std::string error;             ///< why it could not go on; usually empty
  bool refused = false;          ///< then: because its constraint cannot be kept, not by a fault of ours
  std::vector<float> embedding;  ///< [hidden_size], of length 1, if it was asked for
  /// If it was asked for and a token was drawn: the mean entropy, in nats, of what the model thought of each
  /// token, that which ended the text too, before penalties and temperature.
  std::optional<double> entropy;
  BatchUsage usage;
};

/// A text in the batch or before it. Thread-safe. Whoever forgets it cancels it.
class BatchText {
 public:
  virtual ~BatchText() = default;
  /// Waits until something came or the time is over; takes what is there, perhaps nothing.
  virtual BatchProgress wait(std::chrono::milliseconds timeout) = 0;
  /// Ends it with StopReason::interrupted; its place is free with the next step.
  virtual void cancel() = 0;
};

/// There is no room in the queue, or the batcher is stopping.
class Overloaded : public Error {
 public:
  using Error::Error;
  int64_t retry_after_seconds = 1;
  bool stopping = false;
};

struct BatcherStatistics {
  int64_t running = 0;
  int64_t waiting = 0;
  int64_t pages = 0;         ///< of keys and values, in all
  int64_t pages_used = 0;    ///< by texts that run
  int64_t pages_cached = 0;  ///< kept for others, and free when they are needed
  int64_t page_tokens = 0;
  uint64_t steps = 0;
  uint64_t prompt_tokens = 0;  ///< of all prompts that were begun
  uint64_t cached_tokens = 0;  ///< of these, not computed
  uint64_t completion_tokens = 0;
  uint64_t drafted_tokens = 0;
  uint64_t accepted_tokens = 0;
  uint64_t preempted = 0;  ///< texts that had to give their pages to others, and were computed again
  uint64_t finished = 0;   ///< texts that came to an end of their own
  uint64_t cancelled = 0;
  uint64_t failed = 0;
};

class Batcher {
 public:
  /// `model` must outlive this object. Throws Error if there is no memory for a single text.
  Batcher(const LanguageModel& model, const BatcherOptions& options);
  /// Cancels what is there, and waits for the step that runs.
  ~Batcher();
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  /// Throws Error saying what is wrong with the request, and Overloaded.
  std::shared_ptr<BatchText> submit(BatchRequest request);
  /// Takes no more requests from now on, but further texts of those that were begun.
  void stop_accepting();
  /// Waits until nothing runs or waits, or the time is over. Returns whether nothing does.
  bool drain(std::chrono::milliseconds timeout);
  /// Tokens that a text may have, its prompt included.
  int64_t context() const;
  BatcherStatistics statistics() const;

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace rotor::runtime
