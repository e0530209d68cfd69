// JSON lines of conversations, read whole: checked line by line, encoded on all cores, cut to a length,
// shared out between training and validation.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "train/data/chat_encoder.h"
#include "train/data/text_config.h"

namespace rotor::train {

/// What became of the lines of a file.
struct ChatCounts {
  int64_t lines = 0;  ///< that are not empty
  int64_t bad = 0;    ///< left out by skip_bad
  int64_t cut = 0;    ///< longer than block_size + 1 tokens; the beginning was kept
  int64_t cut_tokens = 0;
  int64_t dropped = 0;  ///< too long, by too_long: drop, or because no answer lay in the beginning

  /// "1527 lines; 12 longer than 513 tokens were cut by 4,510 tokens; 3 bad lines were skipped".
  std::string text(int64_t block_size) const;
  ChatCounts& operator+=(const ChatCounts& other);
};

template <class Item>
struct ChatSplits {
  std::vector<Item> train;
  std::vector<Item> validation;
  ChatCounts counts;
};

using PreferencePair = std::pair<EncodedChat, EncodedChat>;  ///< chosen, rejected

/// Conversations of `config.path`, a file or a directory of *.jsonl; validation from `validation_path`, or a
/// share of them that depends on their number alone. Throws Error naming file, line and reason for the first
/// bad line, unless skip_bad, and for files of which no conversation is left; TokenizingInterrupted
/// (token_cache.h) at Ctrl-C. `threads` 0: all cores.
ChatSplits<EncodedChat> read_chats(const TextDataConfig& config, const ChatEncoder& encoder, int64_t threads);
/// The same for preferences. A pair of which one side is too long is cut on that side.
ChatSplits<PreferencePair> read_preferences(const TextDataConfig& config, const ChatEncoder& encoder,
                                            int64_t threads);

}  // namespace rotor::train
