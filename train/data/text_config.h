// What a config file says about text to train a language model on.
#pragma once

#include <cstdint>
#include <string>

namespace rotor::train {

struct TextDataConfig {
  std::string type = "text";         ///< text: a document is a file; jsonl: a field of a line
  std::string path;                  ///< a file, or a directory: all *.txt and *.md, or all *.jsonl, below it
  std::string text_field = "text";   ///< of jsonl
  std::string validation_path;       ///< a corpus of its own for validation; empty: a share of `path`
  double validation_fraction = 0.1;  ///< that share; 0: no validation
  int64_t block_size = 256;          ///< tokens a window
  std::string window = "random";     ///< random: any start; sequential: each window once an epoch
  std::string cache_dir;             ///< where the tokens are kept; the caller chooses a default
  int64_t shard_tokens = 64LL << 20;  ///< tokens a shard file
};

}  // namespace rotor::train
