// Conversations as batches for fine-tuning: packed rows, in which only answers are predicted.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "rotor/text/tokenizer.h"
#include "train/data/chat_encoder.h"
#include "train/data/language_data.h"
#include "train/data/packing.h"

namespace rotor::train {

/// Rows of conversations of at most `block_size` + 1 tokens. Immutable but for a memory of how the latest
/// epochs were packed; any number of threads may use one.
class ChatDataset {
 public:
  /// Each chat has at least two tokens and a target behind the first.
  ChatDataset(std::vector<EncodedChat> chats, int64_t block_size);

  int64_t num_chats() const { return static_cast<int64_t>(lengths_.size()); }
  int64_t num_tokens() const { return static_cast<int64_t>(tokens_.size()); }
  int64_t num_targets() const { return num_targets_; }

  /// The rows of a step: epoch after epoch, each chat once an epoch (packing.h). A pure function of the
  /// request, whose block_size is this one's.
  TokenBatch rows(const WindowRequest& request) const;
  /// Rows of one fixed packing, for evaluation.
  int64_t num_rows() const;
  TokenBatch rows(int64_t first, int64_t count) const;
  /// Rows of the first epochs of a run with that seed.
  int64_t rows_in_epochs(int64_t epochs, uint64_t seed) const;
  /// Changes when a token or a target does.
  std::string data_checksum() const;
  int64_t first_token() const { return tokens_.front(); }

 private:
  std::shared_ptr<const PackedRows> packed(uint64_t seed, int64_t epoch) const;
  TokenBatch gather(const std::vector<std::pair<std::shared_ptr<const PackedRows>, int64_t>>& rows) const;

  int64_t block_size_;
  int64_t num_targets_ = 0;
  std::vector<text::TokenId> tokens_;  // of all chats, one after another
  std::vector<bool> targets_;
  std::vector<int64_t> starts_;
  std::vector<int32_t> lengths_;  // inputs: tokens less one
  mutable std::mutex mutex_;
  mutable std::map<std::pair<uint64_t, int64_t>, std::shared_ptr<const PackedRows>> packed_;
  mutable std::map<uint64_t, std::vector<int64_t>> epoch_starts_;  // rows before each epoch
};

}  // namespace rotor::train
