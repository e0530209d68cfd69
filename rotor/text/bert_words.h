// The words of a text as BERT's tokenizers see them: normalized, cut at white space, with punctuation and
// ideographs as words of their own. Reference: huggingface/tokenizers, BertNormalizer and BertPreTokenizer.
// What becomes of a word is word_piece.h.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

#include "rotor/formats/attachments.h"

namespace rotor::text {

/// Calls `on_word` for each word of `text`, in order, with its UTF-8 and the number of its characters; the
/// view is valid during the call. Bytes that are not valid UTF-8 count as U+FFFD, one for each longest start
/// of a character (Unicode Standard, section 3.9). Characters that Unicode 9 and later classified are what
/// the reference's tables, of Unicode 8, say: no marks, no punctuation, no control characters.
void for_each_bert_word(std::string_view text, const WordPieceSettings& settings,
                        const std::function<void(std::string_view word, size_t characters)>& on_word);

}  // namespace rotor::text
