// What a config file says about text to train a language model on.
#pragma once

#include <cstdint>
#include <string>

namespace rotor::train {

struct TextDataConfig {
  /// text: a document is a file; jsonl: a field of a line; chat, preference: conversations (chat_record.h).
  std::string type = "text";
  std::string path;                  ///< a file, or a directory: all *.txt and *.md, or all *.jsonl, below it
  std::string text_field = "text";   ///< of jsonl
  std::string validation_path;       ///< a corpus of its own for validation; empty: a share of `path`
  double validation_fraction = 0.1;  ///< that share; 0: no validation
  int64_t block_size = 256;          ///< tokens a window, or a row of packed conversations
  std::string window = "random";     ///< random: any start; sequential: each window once an epoch
  std::string cache_dir;             ///< where the tokens are kept; the caller chooses a default
  int64_t shard_tokens = 64LL << 20;  ///< tokens a shard file
  std::string too_long = "cut";       ///< of chat and preference, beyond block_size + 1 tokens: cut | drop
  bool skip_bad = false;              ///< likewise: lines that are no conversation are counted, not errors
  std::string chat_template;          ///< likewise: "" the model's own, plain, or a file

  bool is_chat() const { return type == "chat" || type == "preference"; }
};

}  // namespace rotor::train
