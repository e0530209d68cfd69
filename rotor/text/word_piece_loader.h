// Reads WordPiece from the files in which BERT's tokenizers are published.
#pragma once

#include <string>
#include <string_view>

#include "rotor/formats/json.h"
#include "rotor/text/tokenizer_definition.h"

namespace rotor::text {

/// Whether a tokenizer.json says that its model is WordPiece.
bool is_word_piece_json(const Json& json);

/// A Hugging Face tokenizer.json whose model is WordPiece, with BertNormalizer, BertPreTokenizer, and a post
/// processor that puts [CLS] and [SEP] around a text, or none. Truncation and padding are an encoder's
/// matter. Throws Error naming the file and what it holds that is not known.
WordPieceDefinition read_word_piece_json(const Json& json, const std::string& path);

/// BERT's vocab.txt, a token a line, whose id is the number of the line from 0 on. A tokenizer_config.json
/// beside it may say do_lower_case, strip_accents, tokenize_chinese_chars and the texts of the special
/// tokens; else they are as in BERT uncased. Throws Error naming the file, and the lines of a token that
/// stands twice.
WordPieceDefinition read_vocab_txt(std::string_view contents, const std::string& path);

}  // namespace rotor::text
