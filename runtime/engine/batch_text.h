// One text of a batch: its tokens, what draws the next one, and the mailbox in which its owner finds what
// came. When it is computed is the batcher's business (batcher.cpp).
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "runtime/engine/batcher.h"
#include "runtime/engine/generated_text.h"
#include "runtime/engine/kv_pages.h"

namespace rotor::runtime {

/// Between the batcher's thread and a text's owner.
class Mailbox {
 public:
  void put(std::string text, BatchToken token);
  /// `last` has no text or tokens that were put before; these come first.
  void finish(BatchProgress last);
  BatchProgress take(std::chrono::milliseconds timeout);
  void cancel() { cancelled_ = true; }
  bool cancelled() const { return cancelled_; }

 private:
  std::mutex mutex_;
  std::condition_variable came_;
  BatchProgress progress_;
  std::atomic<bool> cancelled_ = false;
};

class TextInBatch {
 public:
  /// `model` must outlive this object. Throws Error saying what is wrong with the request.
  TextInBatch(BatchRequest request, const LanguageModel& model, int64_t context);

  const BatchRequest& request() const { return request_; }
  const std::shared_ptr<Mailbox>& mailbox() const { return mailbox_; }
  uint64_t arrival() const { return arrival_; }  ///< texts that came earlier have a lower number
  void set_arrival(uint64_t number) { arrival_ = number; }

  /// Prompt and new tokens.
  std::span<const text::TokenId> tokens() const { return tokens_; }
  int64_t size() const { return std::ssize(tokens_); }
  /// Tokens that must be computed before the next one can be drawn.
  int64_t pending() const { return size() - computed; }
  /// Whether its prompt was computed once, so that it is being decoded.
  bool is_decoding() const { return usage_.completion_tokens > 0 && pending() == 1; }

  /// Guesses of the tokens that come next, at most `most`; the more, the better the last ones were.
  std::vector<text::TokenId> guess(int64_t most);
  void note_guesses(int64_t guessed, int64_t right);

  /// What draw() must be given; any other logit may be -inf.
  WantedLogits wanted() {
    return request_.top_logprobs || request_.entropy ? WantedLogits{} : sampler_.wanted();
  }
  /// Draws the next token from the model's logits, [vocab_size], and shows it. Returns whether the text goes
  /// on: if not, it is finished. Throws Error for logits from which nothing can be drawn.
  bool draw(std::span<const float> logits);
  /// Adds hidden states [rows, hidden_size] of computed tokens to the embedding.
  void pool(std::span<const float> hidden, int64_t rows);
  void finish_embedding();
  void begin();  ///< it was taken from the queue
  void finish(StopReason reason, const std::string& error = "", bool refused = false);
  bool is_finished() const { return finished_; }
  bool has_failed() const { return failed_; }
  StopReason stop_reason() const { return stop_reason_; }
  BatchUsage& usage() { return usage_; }
  /// What the cache held of it is gone.
  void lose_cache();

  // Where its keys and values are.
  int64_t computed = 0;        ///< tokens in the cache
  std::vector<int32_t> pages;  ///< that it uses
  int64_t published = 0;       ///< of these, that others can find
  KvPages::Prefix prefix = 0;  ///< what the published ones hold
  KvPages::Prefix root = 0;

 private:
  void show(text::TokenId id, std::span<const float> logits);
  std::optional<double> mean_entropy() const;

  BatchRequest request_;
  const LanguageModel& model_;
  int64_t context_;
  uint64_t arrival_ = 0;
  Clock::time_point submitted_ = Clock::now();
  Sampler sampler_;
  GeneratedText text_;
  std::vector<text::TokenId> tokens_;
  std::vector<double> pooled_;  // [hidden_size]
  std::vector<float> embedding_;
  std::vector<double> entropies_;  // of each draw
  BatchUsage usage_;
  bool finished_ = false;
  bool failed_ = false;
  StopReason stop_reason_ = StopReason::length;
  int64_t guess_length_ = 1;
  int64_t skipped_guesses_ = 0;  // that are still to be left out
  int64_t misses_ = 0;           // in a row
  std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
};

}  // namespace rotor::runtime
