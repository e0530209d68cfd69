// The manifest of a folder of token shards (manifest.json): from what they were made, so that a change is
// noticed, and what they hold. It is written last; without a whole manifest the shards beside it mean
// nothing.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "rotor/formats/json.h"
#include "rotor/text/tokenizer.h"
#include "train/data/text_config.h"
#include "train/data/text_files.h"
#include "train/data/token_shards.h"

namespace rotor::train {

/// A tokenizer, and what tells it from others.
struct CorpusTokenizer {
  const text::Tokenizer* tokenizer = nullptr;
  std::string hash;
  std::optional<text::TokenId> bos;  ///< what is put around the documents of a corpus of several
  std::optional<text::TokenId> eos;
};

/// What tokens were made from. Two equal ones give equal tokens.
Json token_cache_key(const TextDataConfig& config, const CorpusTokenizer& tokenizer, size_t piece_bytes,
                     const std::vector<TextFile>& files, const std::vector<TextFile>& validation_files);

struct TokenManifest {
  SplitInfo train;
  SplitInfo validation;
};

void write_manifest(const std::string& directory, const Json& key, const TokenManifest& manifest);

/// Reads the manifest of shards made from `key`. Nothing if there is none for it: `reason` then says why, or
/// is empty if there is no manifest at all.
std::optional<TokenManifest> read_manifest(const std::string& directory, const Json& key,
                                           int64_t shard_tokens, std::string& reason);

/// Removes manifest and shards from `directory`, the manifest first, and what an interrupted process left of
/// them. Other files stay. Throws Error.
void remove_tokens(const std::string& directory);

}  // namespace rotor::train
