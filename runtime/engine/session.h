// One conversation with a language model: its KV cache and how far it has got. The model itself is immutable
// and shared; a session is used by one thread at a time. It remembers its tokens, so that the CPU can go on
// when a device is lost.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "rotor/text/tokenizer.h"
#include "runtime/backends/backend.h"
#include "runtime/engine/head_screening.h"
#include "runtime/engine/placed_stages.h"
#include "runtime/engine/screening_check.h"
#include "runtime/model/transformer.h"

namespace rotor::runtime {

struct SessionOptions {
  int64_t context = 0;      ///< tokens that the cache holds; 0: as many as the model was made for
  KvType kv = KvType::f16;  ///< what keys and values are kept as
  int64_t batch = 128;      ///< tokens of a prompt that are computed at once
  int64_t kv_pages = 0;     ///< of a cache that a Batcher's texts share; a session has none
  HeadScreeningMode head_screening = HeadScreeningMode::automatic;
  std::vector<ActiveAdapter> adapters;  ///< that the session begins with
};

/// What a session with these options asks of the model's stages. Throws Error if the context is longer than
/// the model's.
Transformer::StageOptions stage_options(const Transformer& model, const SessionOptions& options);

class Session {
 public:
  /// `model` and what `placement` refers to must outlive the session. Throws Error if the context is longer
  /// than the model's, or for head screening by a copy that the model does not hold.
  Session(const Transformer& model, std::shared_ptr<Placement> placement, const SessionOptions& options);
  /// With the whole model on `backend`; if that is lost, calls throw DeviceLost.
  Session(const Transformer& model, Backend& backend, const SessionOptions& options);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  int64_t vocab_size() const { return model_.config().transformer.vocab_size; }
  /// Tokens in the cache, and how many fit.
  int64_t position() const { return static_cast<int64_t>(ids_.size()); }
  int64_t context() const { return options_.context; }
  /// The tokens in the cache, valid until the next call that changes them.
  std::span<const text::TokenId> tokens() const { return ids_; }

  /// Feeds tokens, at least one, behind those in the cache. Returns the logits [vocab_size] behind the last
  /// of them, valid until the next call; those that are not wanted may be -inf. Throws Error, and takes none
  /// of the tokens, if an id is out of range or if they do not fit.
  std::span<const float> feed(std::span<const text::TokenId> tokens, const WantedLogits& wanted = {});

  /// The same, with the logits behind every token: called with the token's index in `tokens`, in order.
  using OnLogits = std::function<void(int64_t index, std::span<const float> logits)>;
  void feed_all(std::span<const text::TokenId> tokens, const OnLogits& on_logits);

  /// The same, and holds what screening gives for each of `checks` against them. Throws Error if the model
  /// holds no copy of its head.
  void check_screening(std::span<const text::TokenId> tokens, std::span<ScreeningCheck> checks,
                       const OnLogits& on_logits);

  /// Shows the hidden states of what is fed from now on, by batches of tokens (model/transformer.h).
  void observe(Transformer::Observer observer) { observer_ = std::move(observer); }

  /// What feed() read of the head.
  const HeadScreening::Statistics& head_statistics() const { return head_.statistics(); }

  /// The adapters that are added to the base from now on; none: the base alone. If these are others than
  /// before, or have other weights, the cache is emptied, since it holds what those made of its tokens.
  /// Throws Error, and then leaves all as it was, for one that does not fit the model, and if a device has no
  /// room for it.
  void set_adapters(const std::vector<ActiveAdapter>& adapters);
  const std::vector<ActiveAdapter>& adapters() const { return stages_.adapters(); }

  /// Forgets what lies at `position` and behind it.
  void rewind(int64_t position);

 private:
  Backend& head_backend() const { return stages_.head_backend(); }
  /// Does `work`, and if the device is lost meanwhile, once more on the CPU: behind the tokens that are in
  /// the cache then, with the last one's hidden state in last_hidden_.
  void survive(const auto& work);
  void compute_cache_again();
  void check_tokens(std::span<const text::TokenId> tokens) const;
  /// At most a batch of `tokens`, from the one at `first` on.
  std::span<const text::TokenId> batch_of(std::span<const text::TokenId> tokens, size_t first) const;
  /// Hidden states behind the final norm of the next `ids`, at most a batch of them.
  Tensor advance(std::span<const text::TokenId> ids);
  /// Calls work(hidden states, row among them, index in `tokens`, logits) for each token, in order.
  void for_logits(std::span<const text::TokenId> tokens, const auto& work);

  const Transformer& model_;
  HeadScreening head_;
  Transformer::StageOptions options_;
  std::vector<text::TokenId> ids_;  // in the cache
  bool cache_lost_ = false;         // with a device, and not computed again yet
  Tensor last_hidden_;              // [1, hidden_size]
  Tensor logits_;                   // [1, vocab_size]
  Tensor batch_logits_;             // [kHeadRows, vocab_size], made by feed_all()
  PlacedStages stages_;
  Transformer::Observer observer_;
  int64_t shown_ = 0;  // hidden states of this batch that observer_ has seen
  std::vector<float> values_;
};

}  // namespace rotor::runtime
