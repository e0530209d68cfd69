// The tokenizer in the metadata of a GGUF file (keys tokenizer.*; llama.cpp, llama-vocab.cpp reads them and
// convert_hf_to_gguf.py writes them).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "rotor/formats/attachments.h"
#include "rotor/formats/gguf.h"
#include "rotor/text/tokenizer.h"

namespace rotor::text {

/// Byte-level BPE ("gpt2") whose pre-tokenizer is a plain split pattern (gguf_pre_tokenizers.h; files of
/// BitNet 2B4T name none and have llama-bpe), or SentencePiece BPE ("llama"). Tokens "[PAD<id>]" at the end,
/// which fill the vocabulary up to the size of the model's, are left out. Texts are not normalized, whatever
/// the model was trained with: the ids are those of llama.cpp, which knows no NFC. nullptr if the file holds
/// none. Throws Error naming the file, key, expected and found for another kind.
std::unique_ptr<Tokenizer> tokenizer_of(const GgufFile& file);

/// What the file says of texts: its bos token, unless it says that none is added, its eos and end-of-turn
/// tokens as stop tokens, and the chat template. As in llama.cpp, "llama" without ids has 1 and 2. The kind
/// of tokenizer is left empty. Throws Error naming the file and key for a value that is none.
TextMetadata gguf_text_metadata(const GgufFile& file);

/// The keys and values for GgufWriter, from which llama.cpp and tokenizer_of() make this tokenizer:
/// `text.bos_token` is what texts begin with (without one the tokenizer's bos() is named, but not added), the
/// first of `text.stop_tokens`, or else eos(), ends them and the second ends a turn; llama.cpp knows further
/// ones by their names only. A token with no bytes and those from the tokenizer's vocab_size() to
/// `vocab_size` are "[PAD<id>]", unused. A normalizer (NFC) has no key: it is left out, and llama.cpp gives
/// other ids for texts that are not in NFC, as it does for every Qwen2 model. Throws Error for what llama.cpp
/// cannot have: a split pattern without a name there, SentencePiece models that are not BPE or char or that
/// change the text otherwise than by a space in front, two tokens written alike; and for ids out of range.
std::vector<std::pair<std::string, GgufValue>> gguf_tokenizer_values(const Tokenizer& tokenizer,
                                                                     const TextMetadata& text,
                                                                     int64_t vocab_size);

}  // namespace rotor::text
