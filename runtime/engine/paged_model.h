// What computes a batch of texts: the model's stages with a cache of pages that the texts share out among
// themselves. Which rows a batch has is the batcher's business (batcher.cpp); one thread uses it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "runtime/engine/head_screening.h"
#include "runtime/engine/placed_stages.h"
#include "runtime/engine/session.h"
#include "runtime/model/transformer.h"

namespace rotor::runtime {

class PagedModel {
 public:
  /// `options.kv_pages` is above 0. `model` and what `placement` refers to must outlive this object. Throws
  /// Error if there is no memory for that.
  PagedModel(const Transformer& model, std::shared_ptr<Placement> placement, const SessionOptions& options);
  PagedModel(const PagedModel&) = delete;
  PagedModel& operator=(const PagedModel&) = delete;

  int64_t batch() const { return options_.batch; }
  int64_t context() const { return options_.context; }
  int64_t vocab_size() const { return model_.config().transformer.vocab_size; }
  int64_t hidden_size() const { return model_.config().transformer.hidden_size; }

  /// With what is computed from now on. Throws Error, and leaves all as it was, for one that does not fit the
  /// model and if there is no memory for it. False like run().
  bool set_adapters(const std::vector<ActiveAdapter>& adapters);

  /// Computes `ids`, which are the rows of `texts`, at most batch() of them. Returns false if the device was
  /// lost and the CPU goes on: the cache is empty then, and nothing was computed. Throws DeviceLost if it
  /// cannot.
  bool run(std::span<const text::TokenId> ids, std::span<const TextRows> texts);
  /// Of some rows of the last run(), in order: the logits [rows, vocab_size], valid until the next call;
  /// `wanted` of a single row are enough. False, and nothing, like run().
  bool logits(std::span<const int64_t> rows, const WantedLogits& wanted, std::span<const float>& values);
  /// Hidden states behind the final norm, [rows of the last run(), hidden_size].
  bool hidden(std::span<const float>& values);

 private:
  const Transformer& model_;
  HeadScreening head_;
  Transformer::StageOptions options_;
  Tensor rows_;    // [kHeadRows, hidden_size]
  Tensor logits_;  // [kHeadRows, vocab_size]
  PlacedStages stages_;
  Tensor hidden_;  // of the last run()
  std::vector<float> values_;
};

}  // namespace rotor::runtime
