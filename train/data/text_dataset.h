// Windows of text as batches for training and evaluating a language model. Documents are packed: a window
// runs across their borders, no target lies across one, and `segments` lets attention stay inside each.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "train/data/text_config.h"
#include "train/data/token_cache.h"

namespace rotor::train {

/// The target of a position where nothing is to be predicted; cross_entropy's ignore_index by default.
inline constexpr int64_t kNoTarget = -100;

struct TokenBatch {
  torch::Tensor inputs;   ///< int64 [B, T]
  torch::Tensor targets;  ///< int64 [B, T]: the token behind each input; kNoTarget where a document begins
  /// int64 [B, T]: the document of each input, counted within its window from 0; undefined if every window
  /// lies in one document.
  torch::Tensor segments;
};

/// Rows of the batch of a training step. All of them by default; a range of them for a rank of several or for
/// a part of a batch whose gradients are accumulated.
struct WindowRequest {
  uint64_t seed = 0;
  int64_t step = 0;
  int64_t batch_size = 1;  ///< rows of the whole batch
  int64_t block_size = 256;
  int64_t first_row = 0;
  int64_t num_rows = -1;  ///< -1: all from first_row on
};

/// The rows that a request asks for: first and end. Throws Error if they are not in the batch.
std::pair<int64_t, int64_t> row_range(const WindowRequest& request);

/// One split of a corpus. The tokens stay on disk; any number of threads may use one.
class TextDataset {
 public:
  explicit TextDataset(TokenSplit split) : split_(std::move(split)) {}

  int64_t num_tokens() const { return split_.info().tokens; }
  int64_t num_documents() const { return split_.info().documents; }
  /// Bytes of the text, for bits per byte.
  int64_t num_text_bytes() const { return split_.info().text_bytes; }
  /// Windows that do not overlap: the T inputs of one are followed by one more token.
  int64_t num_windows(int64_t block_size) const;

  /// Windows x[i : i + T] with targets x[i + 1 : i + T + 1], each i from 0 to N - T - 1 equally likely
  /// (nanoGPT's protocol): a pure function of seed, step and row. Throws Error if the split is shorter.
  TokenBatch random_windows(const WindowRequest& request) const;

  /// Windows that do not overlap, each once an epoch, shuffled anew for each: a pure function of seed, step
  /// and row. A batch at the end of an epoch goes on with the next one. Throws Error if the split is shorter
  /// than a window.
  TokenBatch sequential_windows(const WindowRequest& request) const;

  /// Windows first to first + count - 1 of num_windows(block_size), in order, for evaluation. Throws Error if
  /// they do not exist; if the split is shorter than one window, it says so.
  TokenBatch windows(int64_t first, int64_t count, int64_t block_size) const;

  /// Changes when the tokens change. Reads the manifest, not the tokens.
  std::string data_checksum() const { return split_.data_checksum(); }

  /// Reads all tokens and compares checksums. Throws Error naming the damaged file.
  void verify() const { split_.verify(); }

 private:
  void require_window(int64_t block_size) const;
  TokenBatch gather(const std::vector<int64_t>& starts, int64_t block_size) const;

  TokenSplit split_;
};

struct TextCorpus {
  TextDataset train;
  TextDataset validation;  ///< empty if the config asks for none
  bool tokenized_now;      ///< false: the tokens of an earlier start were used
};

/// Tokenizes the corpus, or finds that this was done: open_token_cache (token_cache.h) says how, and what it
/// throws. `bos` and `eos` stand around the documents of a corpus of several. `threads` 0: all cores.
TextCorpus open_text_corpus(const TextDataConfig& config, const text::Tokenizer& tokenizer,
                            const std::string& tokenizer_hash, std::optional<text::TokenId> bos,
                            std::optional<text::TokenId> eos, int64_t threads);

}  // namespace rotor::train
