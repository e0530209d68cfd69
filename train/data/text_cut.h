// Where a long text may be cut so that its parts, tokenized one by one, give the tokens of the whole.
#pragma once

#include <cstddef>
#include <string_view>

#include "rotor/text/tokenizer.h"

namespace rotor::train {

/// A piece ends at `position`, and the next one starts `skipped` bytes behind it: 1 if there is a space that
/// the tokenizer puts in front of every text by itself (SentencePiece), else 0.
struct TextCut {
  size_t position = 0;
  size_t skipped = 0;
};

/// The end of the piece of `text` that starts at `from`: the end of the text if at most `piece_bytes` are
/// left, else a place at most that far.
///
/// Looked at are, from the far end, the places behind a line break and in front of the spaces behind a word.
/// A place is taken if the 64 bytes on both sides give the same tokens cut there as they give together. That
/// holds at once for byte-level BPE and SentencePiece. If none of the first 32 places passes, or there is
/// none within half a piece (at most 64 KiB), the cut is made at the first of them, or else between two
/// characters: then the tokens next to the cut may differ from the whole text's.
///
/// `piece_bytes` is at least kMinPieceBytes.
TextCut find_cut(std::string_view text, size_t from, size_t piece_bytes, const text::Tokenizer& tokenizer);

inline constexpr size_t kMinPieceBytes = 16;

/// The largest place up to `position` that lies between two UTF-8 characters.
size_t character_start(std::string_view text, size_t position);

}  // namespace rotor::train
