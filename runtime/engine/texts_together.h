// Texts of one length that are decoded together, as `rotor bench --batch` measures them: what a Batcher's
// steps cost without its queue, its texts and what draws from logits.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/engine/language_model.h"
#include "runtime/engine/paged_model.h"

namespace rotor::runtime {

class TextsTogether {
 public:
  /// `texts` of at most `options.context` tokens. `model` must outlive this object.
  TextsTogether(const LanguageModel& model, const SessionOptions& options, int64_t texts);

  /// Options with a cache for so many texts.
  static SessionOptions with_pages(SessionOptions options, int64_t texts);

  /// Begins all texts with `ids`.
  void begin(std::span<const text::TokenId> ids);
  /// Adds a token to each text, and computes the logits behind them.
  void decode(text::TokenId id);

 private:
  PagedModel paged_;
  std::vector<std::vector<int32_t>> pages_;  // of each text
  std::vector<int64_t> rows_;                // 0, 1, ..., one a text
  int64_t position_ = 0;
};

}  // namespace rotor::runtime
