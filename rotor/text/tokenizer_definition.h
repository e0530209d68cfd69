// What a tokenizer is, apart from how it works: the data that every file format writes in its own way. It
// comes out of a tokenizer whatever file that was read from.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "rotor/formats/attachments.h"

namespace rotor::text {

using TokenId = int32_t;

/// Byte-level BPE.
struct BpeDefinition {
  /// Texts are put into Unicode's normalization form C (nfc.h) once special tokens are cut out, before the
  /// split pattern sees them.
  bool normalize_nfc = false;
  std::string split_pattern;
  std::vector<std::string> tokens;  ///< bytes of each id; specials too; an unused id has no bytes
  /// Merges in order of rank: the ids of left, right and result. Empty: every token of two or more bytes is
  /// the merge of any two tokens that make it up, ranked by its id (tiktoken).
  struct Merge {
    TokenId left, right, result;
  };
  std::vector<Merge> merges;
  std::vector<std::pair<std::string, TokenId>> specials;  ///< names, which are also the bytes of their ids
  bool ignore_merges = true;  ///< a piece that is a token is taken whole before any merge
};

/// A SentencePiece model as its file has it (sentencepiece_model.h reads it).
struct SentencePieceDefinition {
  std::string serialized;
};

/// WordPiece of BERT's kind.
struct WordPieceDefinition {
  WordPieceSettings settings;
  std::vector<std::string> tokens;  ///< of each id, with the prefix of those that go on a word; "": unused
  std::vector<std::pair<std::string, TokenId>> specials;  ///< by their texts
};

using TokenizerDefinition = std::variant<BpeDefinition, SentencePieceDefinition, WordPieceDefinition>;

}  // namespace rotor::text
