// A text corpus, tokenized once: the tokens lie in a folder and are used again as long as text, tokenizer and
// settings are the same.
#pragma once

#include <cstdint>

#include "rotor/core/error.h"
#include "train/data/text_config.h"
#include "train/data/token_manifest.h"
#include "train/data/token_shards.h"

namespace rotor::train {

/// Thrown when an interrupt (tool/interrupt.h) stopped the work; nothing half-done is left.
class TokenizingInterrupted : public Error {
 public:
  using Error::Error;
};

struct TokenCache {
  TokenSplit train;
  TokenSplit validation;  ///< empty if the config asks for none
  bool tokenized_now;     ///< false: what lay there was used
};

inline constexpr size_t kDefaultPieceBytes = size_t{1} << 20;

/// Opens the tokens of a corpus in config.cache_dir, and makes them before if they are not there or were made
/// from something else, or if their files are not whole. Another process that is at it is waited for.
///
/// A document is a file (text) or a line's field (jsonl). If `path` or `validation_path` holds several, each
/// is stored as [bos] tokens [eos], as far as the tokenizer has these; otherwise as its tokens. Documents
/// without tokens are left out.
///
/// Validation is `validation_path` if there is one. Else, of a single document, the text from byte
/// int((1 - validation_fraction) * bytes) on; of several documents, whole ones (is_validation_document).
///
/// Text is tokenized in pieces of about `piece_bytes` on `threads` threads (0: all cores); text_cut.h says
/// how pieces are cut. The result does not depend on the number of threads.
///
/// Throws Error for bad settings, unreadable or malformed text (text_source.h, text_files.h), an id out of
/// the vocabulary, a full disk, and if a split is shorter than one window of block_size; then no tokens are
/// left in cache_dir that a later call would take for whole.
TokenCache open_token_cache(const TextDataConfig& config, const CorpusTokenizer& tokenizer, int64_t threads,
                            size_t piece_bytes = kDefaultPieceBytes);

/// Whether document `index` of several is one for validation: in each run of about 1 / fraction documents one
/// is, the first run's first, any other's chosen by a hash of the run's number.
bool is_validation_document(int64_t index, double fraction);

}  // namespace rotor::train
